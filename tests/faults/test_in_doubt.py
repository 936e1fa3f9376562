"""202 means that a command is stored, 503 that it is not, even if the connection breaks during the insert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy.engine import make_url

from tests.faults.cutting_proxy import CuttingProxy
from tests.support.people import BOOKING
from tests.support.tokens import token
from tests.support.world import World
from weelo_api import create_app
from weelo_api.commands import gateway
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.settings import settings

RECORDING, LOOKING = b"EXECUTE post", b"FROM mailbox"  # words of the statements that write and read a command


@dataclass
class Customer:
    id: UUID
    app: FlaskClient
    line: CuttingProxy
    world: World

    def books(self, **headers: str) -> Any:
        bearer = f"Bearer {token(Role.CUSTOMER, self.id)}"
        return self.app.post("/api/v1/bookings", json=BOOKING, headers={"Authorization": bearer, **headers})

    @property
    def recorded(self) -> int:
        return int(self.world.value("SELECT count(*) FROM mailbox WHERE caller_id = :id", id=self.id))


@pytest.fixture
def customer(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Customer]:
    """Yield a customer whose API reaches its database through a TCP proxy."""
    url = make_url(settings().database_url)
    with CuttingProxy(url.host or "127.0.0.1", url.port or 5432) as line:
        far = connect(url.set(host="127.0.0.1", port=line.port).render_as_string(False))
        commits_alone = far.execution_options(isolation_level="AUTOCOMMIT")
        monkeypatch.setattr(gateway, "autocommit_engine", lambda: commits_alone)
        monkeypatch.setattr(gateway, "IN_DOUBT_SECONDS", 0.5)
        yield Customer(uuid4(), create_app().test_client(), line, world)
        far.dispose()


def test_a_command_is_accepted_though_the_database_was_lost_while_it_was_recorded(customer: Customer) -> None:
    customer.line.cut_after(RECORDING)
    answer = customer.books()
    assert customer.line.cuts == 1
    assert answer.status_code == 202 and customer.recorded == 1


def test_a_command_is_accepted_though_the_database_was_lost_just_afterwards(customer: Customer) -> None:
    customer.line.cut_after(RECORDING, answered=True)
    answer = customer.books()
    assert customer.line.cuts == 1
    assert answer.status_code == 202 and customer.recorded == 1


def test_an_unknown_result_is_500_and_not_503(customer: Customer) -> None:
    customer.line.cut_after(RECORDING, for_good=True)
    answer = customer.books()
    assert customer.recorded == 1, "the connection was cut too early"
    assert answer.status_code == 500
    assert answer.json["code"] == "INTERNAL_ERROR" and answer.json["retryable"]


def test_a_recorded_command_is_202_though_the_database_is_lost_while_the_caller_waits(
    customer: Customer,
) -> None:
    customer.line.cut_after(LOOKING, times=100)
    answer = customer.books(Prefer="wait=1")
    assert customer.line.cuts
    assert answer.status_code == 202 and customer.recorded == 1


def test_a_command_that_was_certainly_not_recorded_is_503(customer: Customer) -> None:
    customer.line.dead = True
    answer = customer.books()
    assert answer.status_code == 503 and answer.json["code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["Retry-After"] and customer.recorded == 0

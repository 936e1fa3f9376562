"""A running `weelo up` uses its roles: PostgreSQL reports the role of each connection."""

from __future__ import annotations

from uuid import uuid4

import psutil
import psycopg2
import pytest
from psycopg2 import errors as pg
from sqlalchemy.engine import make_url

from tests.support.system import System, doctor
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.runtime.embedded import Postgres

pytestmark = pytest.mark.xdist_group("embedded")


def connected(system: System) -> dict[int, str]:
    """Return the database role of each connection, by its client port."""
    with psycopg2.connect(Postgres(system.folder).url("weelo")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT client_port, usename FROM pg_stat_activity WHERE datname = 'weelo'")
        return dict(cursor.fetchall())


def roles_of(system: System, pids: list[int]) -> set[str]:
    roles = connected(system)
    ports = {each.laddr.port for pid in pids for each in psutil.Process(pid).net_connections() if each.raddr}
    return {roles[port] for port in ports & roles.keys()}


def test_every_program_connects_with_its_own_role(embedded: System) -> None:
    with embedded.http(Role.TRANSPORTER, uuid4()) as transporter:
        for _ in range(4):  # several requests, so that several API processes connect
            answer = transporter.put("/transporter/availability", json={"isAvailable": True})
            assert answer.status_code == 200, answer.text
            assert transporter.get("/transporter/availability").json()["isAvailable"] is True
    assert roles_of(embedded, embedded.pids("gunicorn")) == {"weelo_api"}
    for program in ("beat", *QUEUES):
        assert roles_of(embedded, embedded.pids(program)) == {"weelo_workers"}, program


def test_no_process_knows_the_password_of_another_role(embedded: System) -> None:
    """Each process has only its own role's password, so an attacker who controls the API has only the API's rights."""
    passwords = {
        role: str(make_url(Postgres(embedded.folder).url("weelo", role=role)).password)
        for role in ("weelo", "weelo_api", "weelo_workers")
    }
    assert len(set(passwords.values())) == 3
    for program, own in {"gunicorn": "weelo_api", "beat": "weelo_workers", "offers": "weelo_workers"}.items():
        for pid in embedded.pids(program):
            seen = str(psutil.Process(pid).environ())
            assert {role for role, password in passwords.items() if password in seen} == {own}


def test_what_runs_may_not_do_what_its_role_may_not(embedded: System) -> None:
    [api, *_] = embedded.api_processes()
    url = psutil.Process(api).environ()["DATABASE_URL"]
    with (
        psycopg2.connect(url) as connection,
        connection.cursor() as cursor,
        pytest.raises(pg.InsufficientPrivilege),
    ):
        cursor.execute("UPDATE mailbox SET payload = payload")


@pytest.mark.long_except("None")
@pytest.mark.parametrize("program", [None, "gunicorn", "beat"])
def test_the_doctor_finds_nothing_wrong(
    embedded: System, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    """`weelo doctor` finds nothing wrong, whether it connects as the owner, as the API's role or as the workers' role."""
    if program is not None:
        own = psutil.Process(embedded.pids(program)[0]).environ()["DATABASE_URL"]
        monkeypatch.setitem(embedded.environment, "DATABASE_URL", own)
    assert doctor(embedded) == []

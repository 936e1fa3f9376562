"""The market's counters: every transition has a rule for counting it, and no transition is counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.support.world import World
from weelo_workers.lifecycles import assignment, broadcast, hold, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.market import counters
from weelo_workers.market.counting import CANCELLED_BECAUSE, COUNTED, NOT_COUNTED, Count
from weelo_workers.models.engine import connect
from weelo_workers.settings import settings

LIFECYCLES: dict[str, Lifecycle[Any]] = {
    "broadcast": broadcast.LIFECYCLE,
    "truck_request": truck_request.LIFECYCLE,
    "hold": hold.LIFECYCLE,
    "assignment": assignment.LIFECYCLE,
}
CREATIONS = {("broadcast", "create"), ("hold", "hold"), ("assignment", "win")}
"""The names under which the history records that a row was created. Slots are created with their broadcast."""


def test_every_arrow_of_every_lifecycle_is_counted_or_listed_as_not_counted() -> None:
    arrows = {(subject, each.name) for subject, table in LIFECYCLES.items() for each in table.transitions}
    assert not COUNTED.keys() & NOT_COUNTED
    assert COUNTED.keys() | NOT_COUNTED == arrows | CREATIONS


def test_every_way_to_cancel_a_slot_with_its_truck_has_a_cause() -> None:
    ends_a_slot = {
        each.name
        for each in assignment.LIFECYCLE.transitions
        if each.to in {"cancelled", "customer_no_show", "failed"} and each is not assignment.CANCEL
    }
    assert CANCELLED_BECAUSE.keys() == ends_a_slot


def value(metric: Any, *labels: str) -> float:
    [family] = metric.labels(*labels).collect()
    return float(next(each.value for each in family.samples if each.name.endswith(("_total", "_count"))))


WON = (counters.SLOTS_WON, "default", "open", "1")
FIRST = (counters.SECONDS_TO_FIRST, "default", "open")


def test_a_transaction_that_is_repeated_is_counted_once(world: World) -> None:
    fleet = world.fleet()
    request = world.broadcast()
    before, observed = value(*WON), value(*FIRST)
    breaking = connect(settings().database_url)
    attempts = []

    def break_the_first_commit(connection: Connection) -> None:
        attempts.append(connection)
        if len(attempts) == 1:
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    event.listen(breaking, "commit", break_the_first_commit)
    accepted = World(executing_on=breaking).accept(fleet, request)
    breaking.dispose()
    assert accepted.status == "succeeded"
    assert len(attempts) > 1
    assert (value(*WON), value(*FIRST)) == (before + 1, observed + 1)


def test_an_error_of_the_counting_fails_no_command(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = world.fleet()
    request = world.broadcast()

    def fail(*_: Any) -> Iterator[Count]:
        raise RuntimeError("the rule is wrong")

    monkeypatch.setitem(COUNTED, ("assignment", "win"), fail)
    assert world.accept(fleet, request).status == "succeeded"
    assert "offers.accept could not be observed" in caplog.text


def test_an_assignment_names_the_ring_whose_offer_won(world: World) -> None:
    fleet = world.fleet(km_north=20)
    request = world.broadcast()
    world.tick(16)
    world.accept(fleet, request)
    [won] = world.assignments(request)
    assert won.ring == "2"

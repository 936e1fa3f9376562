"""`weelo doctor --repair` repairs findings by ordinary commands, and records each repair."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.findings import findings
from tests.support.programs import weelo_here
from tests.support.wakers import NullWaker
from tests.support.world import World
from weelo_workers.doctor.check import CHECKS
from weelo_workers.doctor.checks import presence
from weelo_workers.doctor.examine import examine
from weelo_workers.doctor.repair import REPAIRS, Repairs, repair
from weelo_workers.messaging.beat_heartbeats import BeatHeartbeats
from weelo_workers.messaging.sweep import sweep
from weelo_workers.redis_client import redis

LATE = "clock_timestamp() - interval '60 s'"


def _write(world: World, statement: str, **values: object) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement), values)


def _open_without_timer(world: World) -> None:
    world.broadcast(1)
    _write(world, "DELETE FROM mailbox WHERE name = 'broadcasts.expire'")


def _open_past_deadline(world: World) -> None:
    world.broadcast(1)
    _write(world, f"UPDATE broadcasts SET expires_at = {LATE}")
    _write(world, "DELETE FROM mailbox WHERE name = 'broadcasts.expire'")


def _hold_past_end(world: World) -> None:
    holder = world.fleet()
    world.hold(holder, world.broadcast(1))
    _write(world, f"UPDATE holds SET expires_at = {LATE}")
    _write(world, "DELETE FROM mailbox WHERE name = 'offers.expire_hold'")


def _assignment_past_end(world: World) -> None:
    world.accept(world.fleet(), world.broadcast(1))
    _write(world, f"UPDATE assignments SET expires_at = {LATE}")
    _write(world, "DELETE FROM mailbox WHERE name = 'trips.expire_assignment'")


def _assignment_without_timer(world: World) -> None:
    world.accept(world.fleet(), world.broadcast(1))
    _write(world, "DELETE FROM mailbox WHERE name = 'trips.expire_assignment'")


def _driver_left(world: World) -> None:
    fleet, other, broadcast = world.fleet(), world.fleet(), world.broadcast(1)
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    _write(world, "DELETE FROM mailbox WHERE name IN ('trips.expire_assignment', 'trips.remind_to_start')")
    _write(world, "UPDATE drivers SET transporter_id = :other", other=other.id)


def _search_not_begun(world: World) -> None:
    world.broadcast(1)
    _write(
        world,
        f"UPDATE broadcasts SET reoffer_rounds = 1, radius_step = 0, status = 'created', state_changed_at = {LATE}",
    )
    _write(world, f"UPDATE truck_requests SET status = 'searching', state_changed_at = {LATE}")
    _write(
        world,
        "DELETE FROM mailbox WHERE settled_at IS NULL AND name IN ('broadcasts.widen', 'broadcasts.reoffer')",
    )


def _presence_differs(world: World) -> None:
    redis().hset("weelo:presence:kinds", str(world.fleet().id), '["something else"]')


def _parked(world: World) -> None:
    fleet = world.fleet()
    _write(
        world,
        "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at, attempts, parked_at, last_error)"
        " VALUES (:id, 'fleet.sync_presence', 'fleet', CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp(),"
        " 5, clock_timestamp(), 'a bug')",
        id=uuid4(),
        payload=json.dumps({"transporter_id": str(fleet.id)}),
    )


def _failing(world: World) -> None:
    _parked(world)
    _write(
        world,
        "UPDATE mailbox SET parked_at = NULL, attempts = 2, retry_at = clock_timestamp() + interval '1 hour'"
        " WHERE parked_at IS NOT NULL",
    )


def _wake_up_lost(world: World) -> None:
    _parked(world)
    _write(
        world,
        f"UPDATE mailbox SET parked_at = NULL, attempts = 0, last_error = NULL, due_at = {LATE}, sweep_count = 3,"
        " wake_at = clock_timestamp() + interval '30 s' WHERE parked_at IS NOT NULL",
    )


BROKEN: dict[str, tuple[str, Callable[[World], None]]] = {
    "broadcast without timer": ("broadcast-without-timer", _open_without_timer),
    "broadcast past its deadline": ("broadcast-past-its-deadline", _open_past_deadline),
    "hold past its end": ("hold-past-its-end", _hold_past_end),
    "assignment past its end": ("assignment-past-its-end", _assignment_past_end),
    "assignment without timer": ("assignment-without-timer", _assignment_without_timer),
    "driver has left": ("assignment-without-timer", _driver_left),
    "search not begun": ("search-not-begun", _search_not_begun),
    "presence differs": ("presence-differs", _presence_differs),
    "parked": ("commands-parked", _parked),
    "failing": ("commands-failing", _failing),
    "wake-up lost": ("queue-behind", _wake_up_lost),
}


@pytest.fixture
def using(world: World, monkeypatch: pytest.MonkeyPatch) -> Repairs:
    monkeypatch.setattr(presence, "AGAIN_AFTER_SECONDS", 0.0)
    return Repairs(world.engine, NullWaker(), lambda: sweep(world.bus, seconds=5))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_repair_heals_its_finding_and_is_recorded(world: World, using: Repairs, kind: str) -> None:
    name, break_it = BROKEN[kind]
    break_it(world)
    assert findings(name), "the test broke nothing"
    done = list(repair(examine(checks=[CHECKS[name]]), using))
    assert done and all(line.startswith(f"{name}: ") for line in done)
    recorded = world.rows("SELECT * FROM audit WHERE command = 'doctor.repair' ORDER BY at")
    assert [f"{each.details['check']}: {each.details['repair']}" for each in recorded] == done
    world.drain()
    assert findings(name) == []


def test_a_repair_of_what_is_all_right_by_now_changes_nothing(world: World, using: Repairs) -> None:
    """The repair sends a timer that is due at once. The timer finds the deadline in the future and sets a new timer."""
    _open_without_timer(world)
    results = examine(checks=[CHECKS["broadcast-without-timer"]])
    assert len(list(repair(results, using))) == 1
    assert list(repair(results, using)) == [], "the command of the first repair is the one that was missing"
    status = world.rows("SELECT status FROM broadcasts")
    world.drain()
    assert world.rows("SELECT status FROM broadcasts") == status
    assert (
        world.value("SELECT count(*) FROM mailbox WHERE name = 'broadcasts.expire' AND settled_at IS NULL")
        == 1
    )


def test_without_beat_one_sweep_is_made(world: World, using: Repairs) -> None:
    _wake_up_lost(world)
    _write(world, "UPDATE mailbox SET wake_at = clock_timestamp() WHERE sweep_count = 3")
    [line] = repair(examine(checks=[CHECKS["beat-not-sweeping"]]), using)
    assert line == "beat-not-sweeping: one sweep took up 1 overdue commands; it does not replace beat"
    assert findings("queue-behind") == []


def test_every_repair_belongs_to_a_check_whose_remedy_names_it() -> None:
    assert set(REPAIRS) <= set(CHECKS)
    promised = {name for name, check in CHECKS.items() if "--repair" in check.remedy}
    assert promised <= set(REPAIRS)


@pytest.mark.long
def test_the_command_prints_findings_remedies_and_repairs(world: World) -> None:
    BeatHeartbeats(world.engine).record_sweep()
    _open_past_deadline(world)
    found = weelo_here("doctor")
    assert found.returncode == 1, found.stderr
    lines = found.stdout.splitlines()
    at = lines.index("invariant: 1 broadcasts open past their deadline")
    assert lines[at + 1] == (
        "  `weelo doctor --repair` sends the command that is missing"
        " (docs/runbooks/checks.md#broadcast-past-its-deadline)"
    )
    repaired = weelo_here("doctor", "--json", "--repair")
    assert repaired.returncode == 1
    results = {result["check"]: result for result in json.loads(repaired.stdout)}
    assert set(results) == set(CHECKS)
    assert results["broadcast-past-its-deadline"] == {
        "check": "broadcast-past-its-deadline",
        "ok": False,
        "severity": "failing",
        "detail": "invariant: 1 broadcasts open past their deadline",
        "remedy": "`weelo doctor --repair` sends the command that is missing",
        "runbook": "docs/runbooks/checks.md#broadcast-past-its-deadline",
    }
    assert results["schema"]["ok"] is True and results["schema"]["detail"] == ""
    assert "repair: broadcast-past-its-deadline: sent broadcasts.expire " in repaired.stderr
    assert "repair: worker-not-consuming: no command repairs it; see docs/runbooks/" in repaired.stderr
    world.drain()
    assert UUID(int=0) not in {row.id for row in world.rows("SELECT id FROM mailbox")}
    assert findings("broadcast-past-its-deadline") == []

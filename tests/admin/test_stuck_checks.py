"""The operator's list of what is stuck begins with the failing checks. It is returned even without a database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.admin.operator import Operator
from tests.support.silent_server import silent_port
from tests.support.world import World
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.doctor import current
from weelo_workers.doctor.check import CHECKS
from weelo_workers.messaging import worker_heartbeats
from weelo_workers.messaging.beat_heartbeats import BeatHeartbeats, late_after_seconds
from weelo_workers.messaging.worker_heartbeats import report
from weelo_workers.queries.admin_stuck import CHECKS_OF_ROWS
from weelo_workers.redis_client import connect


@pytest.fixture(autouse=True)
def healthy(world: World) -> None:
    """Report workers and beat as running."""
    report("one@host", QUEUES)
    BeatHeartbeats(world.engine).record_sweep()


def failing(operator: Operator) -> dict[str, Any]:
    """Return the listed checks by their names."""
    return {each["check"]: each for each in operator.items("/stuck") if each["because"] == "failing_check"}


def store(world: World, name: str, severity: str, detail: str) -> None:
    """Store a result of the check `name`, as beat does."""
    with world.engine.begin() as connection:
        row = {"name": name, "severity": severity, "detail": detail}
        connection.execute(
            text("INSERT INTO check_results VALUES (:name, :severity, :detail, clock_timestamp())"), row
        )


def test_nothing_is_listed_while_all_is_well(operator: Operator) -> None:
    assert operator.items("/stuck") == []


def test_a_beat_that_does_not_sweep_is_listed(world: World, operator: Operator) -> None:
    late = late_after_seconds() + 9
    with world.engine.begin() as connection:
        connection.execute(text(f"UPDATE beat_heartbeats SET swept_at = swept_at - interval '{late} s'"))
    [item] = operator.items("/stuck")
    assert item == {
        "because": "failing_check",
        "subject": "check",
        "subjectId": None,
        "check": "beat-not-sweeping",
        "queue": None,
        "broadcastId": None,
        "since": None,
        "detail": f"beat: it has not swept for {late:.0f} s",
        "remedy": f"{CHECKS['beat-not-sweeping'].remedy} (docs/runbooks/checks.md#beat-not-sweeping)",
    }


def test_children_that_accept_no_message_are_listed(operator: Operator) -> None:
    report("one@host", QUEUES, {"trips": 12.3})
    assert failing(operator)["worker-not-consuming"]["detail"].startswith("queue trips: a message has waited")


def test_what_beat_has_found_is_listed_unless_it_is_a_warning_or_listed_row_by_row(
    world: World, operator: Operator
) -> None:
    assert set(CHECKS) >= CHECKS_OF_ROWS
    store(world, "database-refuses-writes", "failing", "database: its disk is full")
    store(world, "of-a-newer-version", "failing", "something")
    store(world, "redis-eviction", "warning", "REDIS_URL: a warning")
    store(world, "commands-parked", "failing", "an old line")
    store(world, "schema", "failing", "")
    found = failing(operator)
    assert list(found) == ["database-refuses-writes", "of-a-newer-version"]
    assert found["database-refuses-writes"]["detail"] == "database: its disk is full"
    assert found["of-a-newer-version"]["remedy"].startswith("see the runbook")


def test_stored_results_of_what_is_looked_at_now_are_not_used(world: World, operator: Operator) -> None:
    for name in ("database", "worker-not-consuming", "beat-not-sweeping"):
        store(world, name, "failing", "a minute ago")
    assert operator.items("/stuck") == []


def test_a_redis_that_hangs_is_listed(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_port() as port:
        hanging = connect(f"redis://127.0.0.1:{port}/0")
        monkeypatch.setattr(worker_heartbeats, "redis", lambda: hanging)
        assert failing(operator)["redis"]["detail"].startswith("REDIS_URL: ")


def test_a_database_that_hangs_is_listed_alone(world: World, operator: Operator) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("LOCK TABLE check_results"))
        [item] = operator.items("/stuck")
    assert (item["check"], item["detail"]) == ("database", f"database: {current.NO_ANSWER}")

"""Beat runs the checks in one process at a time and for a limited time, and stores the results in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.world import World
from weelo_workers.doctor import recording
from weelo_workers.doctor.check import CHECKS, EVERY_SECONDS, HOURLY, Check, Examination, Severity
from weelo_workers.doctor.recording import run_once
from weelo_workers.queries.health import check_states


def stored(world: World) -> dict[str, bool]:
    with world.engine.connect() as connection:
        return dict(check_states(connection).failing)


def test_the_results_of_all_checks_are_stored(world: World) -> None:
    assert run_once(world.engine) is not None
    assert set(stored(world)) == set(CHECKS)
    assert stored(world)["beat-not-sweeping"] is True
    assert stored(world)["schema"] is False
    with world.engine.connect() as connection:
        ended = check_states(connection).ended_at
    assert ended is not None and abs(ended - time.time()) < 10


def test_two_processes_of_beat_do_not_run_the_checks_at_the_same_time(world: World) -> None:
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: run_once(world.engine), range(4)))
    assert len([run for run in runs if run is not None]) == 1
    assert run_once(world.engine) is None
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE check_runs SET began_at = began_at - interval '1 min'"))
    assert run_once(world.engine) is not None


def test_checks_that_read_whole_tables_run_once_an_hour(world: World) -> None:
    rare = {name for name, check in CHECKS.items() if check.every_seconds > EVERY_SECONDS}
    assert rare
    run_once(world.engine)
    again = run_once(world.engine, pause=0)
    assert again is not None
    assert {result.check.name for result in again} == set(CHECKS) - rare
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE check_results SET checked_at = checked_at - interval '61 min'"))
    again = run_once(world.engine, pause=0)
    assert again is not None and {result.check.name for result in again} == set(CHECKS)


def test_a_check_of_whole_tables_that_takes_too_long_is_not_repeated_every_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(look: Examination) -> Iterator[str]:
        with look.database() as connection:
            connection.execute(text("SELECT pg_sleep(10)"))
        yield "found"

    monkeypatch.setattr(recording, "CHECKS", {"slow": Check("slow", Severity.FAILING, "", (), HOURLY, find)})
    monkeypatch.setattr(recording, "STATEMENT_SECONDS", 0.1)
    failed_at: dict[str, float] = {}
    for expected in (["slow"], []):
        results = run_once(world.engine, pause=0, failed_at=failed_at)
        assert results is not None and [each.check.name for each in results] == expected
    failed_at["slow"] -= HOURLY
    assert run_once(world.engine, pause=0, failed_at=failed_at)


def test_an_error_in_a_check_does_not_keep_the_others_from_running(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Examination) -> Iterator[str]:
        yield str({}["a key"])

    def works(_: Examination) -> Iterator[str]:
        yield "found"

    checks = [Check(name, Severity.FAILING, "", (), 60, find) for name, find in (("a", broken), ("b", works))]
    monkeypatch.setattr(recording, "CHECKS", {each.name: each for each in checks})
    run_once(world.engine)
    assert stored(world) == {"b": True}
    assert "a: could not be checked: KeyError" in caplog.text


def test_a_check_that_takes_too_long_keeps_its_earlier_result(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = 0.0

    def find(examination: Examination) -> Iterator[str]:
        with examination.database() as connection:
            connection.execute(text(f"SELECT pg_sleep({seconds})"))
        yield "found"

    monkeypatch.setattr(recording, "CHECKS", {"slow": Check("slow", Severity.FAILING, "", (), 60, find)})
    monkeypatch.setattr(recording, "STATEMENT_SECONDS", 0.2)
    run_once(world.engine)
    seconds, began = 10.0, time.monotonic()
    run_once(world.engine, pause=0)
    assert time.monotonic() - began < 5
    assert stored(world) == {"slow": True}
    assert world.value("SELECT detail FROM check_results") == "found"
    assert "slow: could not be checked" in caplog.text

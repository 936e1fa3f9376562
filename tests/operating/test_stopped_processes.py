"""Processes that are stopped by SIGSTOP are named within seconds by checks and figures, and are healthy again when they continue.

A stopped process does not end, so nothing restarts it, and it writes nothing into the log.
"""

from __future__ import annotations

import os
import signal
import time
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.operating.rows import Rows
from tests.support.figures import of, scrape, worker_urls
from tests.support.suspended import suspended
from tests.support.system import System, doctor
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.doctor.stopped_beat import LOOK_EVERY_SECONDS
from weelo_workers.messaging.beat_heartbeats import late_after_seconds

pytestmark = pytest.mark.xdist_group("operated")


def is_failing(system: System, check: str) -> bool:
    return of(scrape(f"{system.url}/metrics"), "weelo_check_failing", check=check) == 1


def why_not_ready(url: str) -> str | None:
    answer = httpx.get(url.replace("/metrics", "/readyz"), timeout=5)
    return None if answer.status_code == 200 else str(answer.json()["reason"])


def test_OPER_01_every_program_is_ready_and_no_process_is_named(operated: System) -> None:
    for url in worker_urls(operated).values():
        eventually(lambda: why_not_ready(url) is None, within=20)  # noqa: B023
    figures = scrape(f"{operated.url}/metrics")
    assert of(figures, "weelo_redis_up") == 1
    assert of(figures, "weelo_consumers", queue="offers") == 1
    assert of(figures, "weelo_sweep_last_seconds") < late_after_seconds()
    assert abs(of(figures, "weelo_clock_skew_seconds")) < 1
    assert of(figures, "weelo_transporters_online") >= 0
    for kind, number in (("api", 2), ("worker", 7), ("beat", 1)):
        assert of(figures, "weelo_processes", kind=kind) == number
        assert of(figures, "weelo_process_starts_total", kind=kind) >= number
        assert 0 < time.time() - of(figures, "weelo_process_start_timestamp_seconds", kind=kind) < 3_600
    eventually(lambda: not is_failing(operated, "worker-not-consuming"), within=30)
    eventually(lambda: not is_failing(operated, "beat-not-sweeping"), within=30)
    # This queue may be idle. Probe messages are consumed from it all the same, so the time of the last one is recent.
    eventually(
        lambda: (
            of(scrape(f"{operated.url}/metrics"), "weelo_queue_last_consumed_seconds", queue="webhooks") < 20
        )
    )


def test_the_checks_that_beat_runs_are_served(operated: System, rows: Rows) -> None:
    def ran() -> bool:
        return (
            of(scrape(f"{operated.url}/metrics"), "weelo_checks_last_run_timestamp_seconds")
            > time.time() - 70
        )

    eventually(ran, within=70)
    served = scrape(f"{operated.url}/metrics")
    stored = {row.name for row in rows("SELECT name FROM check_results")}
    assert {dict(labels)["check"] for name, labels in served if name == "weelo_check_failing"} == stored


@pytest.mark.long
def test_a_stopped_worker_and_stopped_children_of_another_are_named(operated: System) -> None:
    parent, *children = operated.pids("trips")
    assert {psutil.Process(child).ppid() for child in children} == {parent}
    url, ready = f"{operated.url}/metrics", worker_urls(operated)["trips"]
    with suspended([*operated.pids("fleet"), *children]):
        eventually(lambda: is_failing(operated, "worker-not-consuming"), within=15)
        eventually(lambda: of(scrape(url), "weelo_consumers", queue="fleet") == 0, within=15)
        eventually(lambda: of(scrape(url), "weelo_queue_held_seconds", queue="trips") > 6, within=25)
        assert of(scrape(url), "weelo_consumers", queue="trips") == 1, "its parent runs"
        reason = why_not_ready(ready)
        assert reason is not None and "child process" in reason
        found = doctor(operated)
        assert "queue fleet: no worker consumes it" in found
        assert [line for line in found if line.startswith("queue trips: a message has waited")]
    eventually(lambda: not is_failing(operated, "worker-not-consuming"), within=15)
    eventually(lambda: why_not_ready(ready) is None)


def test_beat_that_is_stopped_is_named_by_other_processes(operated: System, rows: Rows) -> None:
    with suspended(operated.pids("beat")):
        time.sleep(0.5)  # Beat may have sent a heartbeat just before. PostgreSQL needs time to write it.
        # Instead of waiting, the test moves the last heartbeat into the past. Beat is suspended, so it writes no new one.
        rows(f"UPDATE beat_heartbeats SET swept_at = swept_at - interval '{late_after_seconds()} s'")
        eventually(lambda: is_failing(operated, "beat-not-sweeping"), within=5)
        assert of(scrape(f"{operated.url}/metrics"), "weelo_sweep_last_seconds") > late_after_seconds()
        assert [line for line in doctor(operated) if line.startswith("beat: it has not swept for ")]
        listed = operated.client(Role.ADMIN, uuid4()).get("/admin/stuck")["items"]
        assert "beat-not-sweeping" in {each["check"] for each in listed}
    eventually(lambda: not is_failing(operated, "beat-not-sweeping"), within=15)


@pytest.mark.long
def test_beat_that_is_stopped_is_named_in_real_time(operated: System) -> None:
    with suspended(operated.pids("beat")):
        eventually(
            lambda: is_failing(operated, "beat-not-sweeping"), within=late_after_seconds() + 5, exactly=True
        )
        eventually(lambda: logged(operated, "beat: it has not swept for "), within=3 * LOOK_EVERY_SECONDS)
    eventually(lambda: not is_failing(operated, "beat-not-sweeping"), within=15)
    eventually(lambda: logged(operated, "beat sweeps again"), within=3 * LOOK_EVERY_SECONDS)


def logged(system: System, text: str) -> bool:
    """Return whether the worker of the queue `timers` has logged this text. (A stopped beat cannot log about itself.)"""
    return any("WARNING worker/timers" in line and text in line for line in system.printed)


def test_a_child_that_is_killed_is_counted_as_a_start(operated: System) -> None:
    url = worker_urls(operated)["offers"]
    before = of(scrape(url), "weelo_process_starts_total", kind="child")
    running = of(scrape(url), "weelo_processes", kind="child")
    os.kill(operated.pids("offers")[-1], signal.SIGKILL)
    eventually(lambda: of(scrape(url), "weelo_process_starts_total", kind="child") == before + 1, within=15)
    eventually(lambda: of(scrape(url), "weelo_processes", kind="child") == running)

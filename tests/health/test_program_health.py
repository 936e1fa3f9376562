"""/readyz of workers and beat, and what a worker's parent process observes about its child processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.programs import without_weelo
from weelo_workers.messaging import consumer_monitor, program_health
from weelo_workers.messaging.beat_heartbeats import late_after_seconds
from weelo_workers.messaging.consumer_monitor import ConsumerMonitor
from weelo_workers.messaging.program_health import ProgramHealth
from weelo_workers.metrics.server import MetricsServer
from weelo_workers.runtime.ports import free_port
from weelo_workers.with_timeout import WithTimeout


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        for module in (consumer_monitor, program_health):
            monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_message_that_no_child_accepts_is_held(clock: Clock) -> None:
    monitor = ConsumerMonitor(["offers", "trips"])
    monitor.tick({"one": "offers.accept"}, {})
    clock.now += 2
    monitor.tick({"one": "offers.accept", "two": "offers.accept"}, {})
    assert monitor.held() == {"offers": 2.0, "trips": 0.0}
    clock.now += 5
    assert monitor.why_not_consuming() == "a message has waited for a child process for 7 s"
    monitor.tick({"two": "offers.accept"}, {"offers.accept": 1})
    assert monitor.held()["offers"] == 5.0
    assert monitor.accepted() == {"offers"}
    monitor.tick({}, {"offers.accept": 1})
    assert monitor.accepted() == frozenset()
    assert monitor.why_not_consuming() is None


def test_an_event_loop_that_does_not_tick_is_not_consuming(clock: Clock) -> None:
    monitor = ConsumerMonitor(["offers"])
    monitor.tick({}, {})
    clock.now += 7
    assert monitor.why_not_consuming() is None
    clock.now += 2
    assert monitor.why_not_consuming() == "no connection to the broker for 9 s"


def test_beat_is_ready_while_it_sweeps(world: object, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_health, "_why_no_database", lambda: None)
    health = ProgramHealth()
    assert health.why_not_ready() == "it has not started yet"

    class Beat:
        swept_at: float | None = None

    health.beat = Beat()  # type: ignore[assignment]
    assert health.why_not_ready() == "beat has not swept yet"
    Beat.swept_at = clock.now
    assert health.why_not_ready() is None
    clock.now += late_after_seconds() + 1
    assert health.why_not_ready() == f"beat has not swept for {late_after_seconds() + 1:.0f} s"


def test_a_program_without_its_database_is_not_ready(migrated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program_health._why_no_database() is None
    release = threading.Event()
    monkeypatch.setattr(program_health, "_ask_database", WithTimeout(lambda: release.wait(30)))
    began = time.monotonic()
    assert program_health._why_no_database() == "database: no answer within 2 s"
    first = time.monotonic() - began
    assert 1.5 < first < 3
    # The first probe's query still hangs. A later probe does not wait for it, and is answered at once.
    assert program_health._why_no_database() == "database: no answer within 2 s"
    assert time.monotonic() - began - first < 0.5
    release.set()


@pytest.fixture
def served() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server with /readyz, and a list of texts that the test extends.

    The server answers with the last text, as the reason why the program is not ready. If the list or the text is empty,
    the program is ready.
    """
    reasons: list[str] = []
    port = free_port()
    server = MetricsServer("127.0.0.1", port, lambda: reasons[-1] if reasons else None, lambda: 0.25)
    server.start()
    yield f"http://127.0.0.1:{port}", reasons
    assert server._listener is not None
    server._listener.shutdown()
    server._listener.server_close()


def test_workers_answer_probes_beside_their_metrics(served: tuple[str, list[str]]) -> None:
    url, reasons = served
    ready = httpx.get(f"{url}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    reasons.append("a message waits")
    not_ready = httpx.get(f"{url}/readyz")
    assert (not_ready.status_code, not_ready.json()) == (
        503,
        {"status": "unavailable", "reason": "a message waits"},
    )
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    metrics = httpx.get(f"{url}/metrics").text
    assert "weelo_commands_total" in metrics
    assert "weelo_clock_skew_seconds 0.25" in metrics
    assert httpx.post(f"{url}/api/v1/bookings").status_code == 404


@pytest.mark.long
def test_flower_keeps_its_metrics_to_itself(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    environment = {**without_weelo(), "METRICS_DIR": str(folder), "REDIS_URL": "redis://127.0.0.1:1/0"}
    environment["DATABASE_URL"] = "postgresql://127.0.0.1:1/none"
    for program, shares in (("flower", False), ("worker", True)):
        done = subprocess.run(
            [sys.executable, "-m", "weelo_workers", program, "--help"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert bool(list(folder.iterdir())) is shares, program

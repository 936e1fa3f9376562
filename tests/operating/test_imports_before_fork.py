"""A worker's threads import nothing: a child forked during an import would wait for ever for the lock of that module."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.request import urlopen

from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.runtime.ports import free_port

# Prints the modules that were imported after the worker could fork: while this script's line of input is awaited, the
# test scrapes the metrics.
START_AND_COMPARE = """
import sys
from celery import signals
from weelo_workers import app
from weelo_workers.doctor import stopped_beat
signals.worker_init.send(sender=None)
before = set(sys.modules)
stopped_beat.start_watching()
input()
print(*sorted(set(sys.modules) - before))
"""

SWEEPS_READ = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%swept_at%'
"""


def test_the_threads_of_a_worker_import_no_module_after_its_children_may_be_forked(world: World) -> None:
    port = free_port()
    worker = subprocess.Popen(
        [sys.executable, "-c", START_AND_COMPARE],
        env={**os.environ, "METRICS_PORT": str(port)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def answer(path: str) -> bytes:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                return bytes(response.read())
        except OSError as refused:
            return refused.read() if hasattr(refused, "read") else b""

    try:
        assert b"weelo_clock_skew_seconds" in eventually(lambda: answer("/metrics"), within=30)
        assert answer("/readyz")
        assert answer("/healthz")
        eventually(lambda: world.value(SWEEPS_READ))
        imported, _ = worker.communicate("\n", timeout=20)
    finally:
        worker.kill()
    assert imported.split() == []

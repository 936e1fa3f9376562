"""If the system permits no further thread, the API goes on with those it has."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.support.api_process import Api
from tests.support.tokens import token
from tests.support.world import World
from weelo_workers.runtime.ports import free_port

MODULE = "tests.operating.worker_short_of_threads"


@pytest.mark.long
def test_an_api_without_further_threads_answers_with_those_it_has(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    api = Api(GUNICORN_CMD_ARGS=f"--worker-class={MODULE}.WorkerShortOfThreads", log=log)
    try:
        [before] = psutil.Process(api.process.pid).children()
        client = api.connect_as()
        headers = {"Authorization": f"Bearer {token('customer', uuid4())}"}

        def read(_: int) -> int:
            return httpx.get(
                f"http://127.0.0.1:{api.port}/api/v1/events", headers=headers, timeout=20
            ).status_code

        with ThreadPoolExecutor(20) as many:
            assert set(many.map(read, range(60))) == {200}
        probe = httpx.get(f"http://127.0.0.1:{api.port}/readyz", timeout=10)
        assert (probe.status_code, probe.json()["reason"]) == (503, "can't start new thread")
        assert httpx.get(f"http://127.0.0.1:{api.port}/metrics", timeout=10).status_code == 200
        assert client.is_silent()
        [after] = psutil.Process(api.process.pid).children()
        assert after == before
    finally:
        api.stop()
    assert "Traceback" not in log.read_text()


@pytest.mark.long
def test_an_api_without_any_thread_ends_with_one_line(migrated: None) -> None:
    options = (
        f"--bind=127.0.0.1:{free_port()}",
        "--workers=1",
        f"--worker-class={MODULE}.WorkerWithoutThreads",
    )
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config=python:weelo_api.server.gunicorn", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "weelo: can't start new thread; raise the limit of processes (`ulimit -u`)" in ended.stderr
    assert "Traceback" not in ended.stderr

"""METRICS_DIR is deleted while programs run: nothing fails, and processes started afterwards record metrics."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.support.api_process import Api
from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.unacked import MESSAGES
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.redis_client import redis
from weelo_workers.runtime.ports import free_port


def scrape(port: int) -> str:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    except httpx.TransportError:
        return ""
    assert answer.status_code == 200
    return answer.text


def test_the_api_answers_and_counts_again_with_a_new_process(world: World, tmp_path: Path) -> None:
    folder, log = tmp_path / "metrics", tmp_path / "log"
    api = Api(METRICS_DIR=str(folder), log=log)
    try:
        eventually(lambda: "weelo_sockets_open" in scrape(api.port))
        shutil.rmtree(folder)
        figures = scrape(api.port)
        assert "weelo_database_up 1.0" in figures
        assert f"METRICS_DIR: {folder}/{api.process.pid} was deleted" in log.read_text()
        [worker] = psutil.Process(api.process.pid).children()
        worker.kill()
        eventually(lambda: "weelo_sockets_open 0.0" in scrape(api.port), within=20)
        assert "Traceback" not in log.read_text()
    finally:
        api.stop()


@pytest.mark.long
def test_a_worker_executes_and_its_new_children_count(world: World, tmp_path: Path) -> None:
    folder, port, log = tmp_path / "metrics", free_port(), tmp_path / "log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "weelo_workers", "--quiet", "worker", "--queues=fleet", "--concurrency=1"],
            env={**os.environ, "METRICS_PORT": str(port), "METRICS_DIR": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def execute() -> None:
        caller = Caller(uuid4(), Role.TRANSPORTER)
        with world.engine.begin() as connection:
            command = SetAvailability(transporter_id=caller.id, is_available=True)
            id_ = mailbox.post(connection, command, caller, uuid4(), "").outcome.command_id
        CeleryWaker().wake(WakeUp(id_, SetAvailability.name, "fleet"))
        eventually(lambda: world.value("SELECT settled_at FROM mailbox WHERE id = :id", id=id_), within=20)

    try:
        eventually(lambda: "weelo_timer_late" in scrape(port), within=30)
        [child] = eventually(lambda: psutil.Process(worker.pid).children())
        shutil.rmtree(folder)
        execute()  # this is the child's first command, executed after its metrics folder was deleted
        assert scrape(port)
        shutil.rmtree(folder)
        # The child acknowledges the command's message only after the commit. Wait for that, so that the kill interrupts no
        # Celery task.
        eventually(lambda: not redis().hlen(MESSAGES))
        child.send_signal(signal.SIGKILL)
        execute()
        executed = f'weelo_commands_total{{name="{SetAvailability.name}",outcome="succeeded"}} 1.0'
        eventually(lambda: executed in scrape(port))
        assert "Traceback" not in log.read_text()
    finally:
        worker.terminate()
        worker.wait(timeout=20)

"""Log lines of real processes: Celery's and gunicorn's lines have our format, and the settings for logs take effect."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_process import Api
from tests.support.waiting import eventually
from weelo_workers import bootstrap

WORKER = ("weelo_workers", "--quiet", "worker", "--queues=offers", "--pool=solo", "--without-mingle")


class Hanging:
    """A server that accepts connections and closes each one at once. `attempts`: the number of connections so far."""

    def __init__(self) -> None:
        self.attempts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.attempts += 1
                client.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def broker() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.close()


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.long
def test_a_worker_without_its_broker_logs_that_once_however_often_it_tries(
    broker: Hanging, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *WORKER],
            env={**os.environ, "REDIS_URL": f"redis://127.0.0.1:{broker.port}/0", "LOG_FORMAT": "json"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: broker.attempts >= 4, within=40)
        lost = [line for line in records(log) if "the broker that this worker consumes" in line["message"]]
    finally:
        process.kill()
        process.wait()
    [line] = lost
    assert (line["process"], line["queue"], line["level"]) == ("worker", "offers", "WARNING")


@pytest.mark.long_except("INFO-True")
@pytest.mark.parametrize(("level", "logged"), [("warning", False), ("INFO", True)])
def test_LOG_LEVEL_decides_whether_gunicorn_logs_its_start(
    level: str, logged: bool, tmp_path: Path, migrated: None
) -> None:
    log = tmp_path / "api.log"
    api = Api(log=log, LOG_FORMAT="json", LOG_LEVEL=level)
    api.stop()
    assert any(line["message"].startswith("Starting gunicorn") for line in records(log)) is logged
    assert {line["process"] for line in records(log)} <= {"api"}


def test_in_production_lines_are_JSON_without_a_setting(tmp_path: Path, migrated: None) -> None:
    log = tmp_path / "api.log"
    api = Api(log=log, WEELO_ENV="production", JWT_SECRET=os.urandom(32).hex())
    api.stop()
    assert "Starting gunicorn 27" in "".join(line["message"] for line in records(log))


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        (["-m", "--quiet", "worker", "--queues=offers", "--pool=prefork"], ("worker", "offers")),
        (["-m", "worker", "--queues=offers,trips"], ("worker", None)),
        (["-m", "beat", "--pidfile="], ("beat", None)),
        (["-m", "flower"], ("flower", None)),
        (["-m", "inspect"], ("celery", None)),
    ],
    ids=["worker-of-a-queue", "worker-of-two", "beat", "flower", "another"],
)
def test_the_kind_of_a_process_of_Celery_is_on_its_command_line(
    arguments: list[str], origin: tuple[str, str | None]
) -> None:
    assert bootstrap.origin_of_celery(arguments) == origin

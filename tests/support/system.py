"""Runs a whole system for journeys and faults: `weelo up` on this worker's own database and Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import httpx
import psutil
import pytest

from tests.support import deviations
from tests.support.programs import weelo_here
from tests.support.servers import own_roles
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_client import WeeloClient, open_pool
from weelo_workers.contracts.statuses import Role
from weelo_workers.runtime.ports import free_port

# Runs `weelo` and passes PYTHONPATH on to its processes, because tests replace parts of them by a sitecustomize.py.
WITH_PYTHONPATH = """
import os
from weelo_workers import cli, python_variables
harmless = python_variables.harmless
python_variables.harmless = lambda given: harmless(given) | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
cli.main()
"""


class System:
    """A running `weelo up` with all its processes. The constructor returns when it is ready."""

    options: ClassVar[Sequence[str]] = ("--worker-per-queue",)

    def __init__(self, folder: Path, log: Path | None = None, /, **environment: str) -> None:
        """Start the system. `log`: a file for its output; without it the output is read through a pipe into `printed`."""
        # Every system under test uses the database roles of production.
        database = environment.get("DATABASE_URL", os.environ.get("DATABASE_URL"))
        environment = {**(own_roles(database) if database else {}), **environment}
        self.folder, self.environment = folder, environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._connections = open_pool(self.url, connections=100)
        self.printed: list[str] = []
        arguments = (
            "up",
            "--no-flower",
            "--port",
            str(self.port),
            "--data-dir",
            str(folder),
            "--concurrency",
            "2",
            *self.options,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITH_PYTHONPATH, *arguments],
            env={**os.environ, **environment},
            stdout=log.open("w") if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if log is None:
            threading.Thread(target=self._read, daemon=True).start()
        read_output = self._read_output = log.read_text if log else lambda: "".join(self.printed)
        try:
            # This limit is longer than the time that `weelo up` gives its own programs on a busy machine.
            eventually(lambda: "weelo ready on" in read_output() or self._died(read_output()), within=130)
        except BaseException:
            # If the constructor raises, the fixture that called it gets no system, and so cannot stop the processes.
            self.stop()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.printed.extend(iter(self.process.stdout.readline, ""))

    def _died(self, printed: str) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"weelo up ended with code {self.process.returncode}:\n{printed}")
        raise AssertionError(f"weelo up is not ready; it printed:\n{printed}")

    def stop(self) -> None:
        self._connections.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        finally:
            self.process.kill()
            deviations.record_from_log(self._read_output().splitlines())

    def weelo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this system."""
        return weelo_here(*arguments, "--data-dir", str(self.folder), **self.environment)

    # --- people -------------------------------------------------------------------------------------

    def client(self, role: Role, user_id: UUID) -> WeeloClient:
        """Return a reference client of this user. Commands wait for their outcome by default."""
        return WeeloClient(self.url, token(role, user_id), wait=20, http=self._connections)

    def http(self, role: Role, user_id: UUID) -> httpx.Client:
        """Return an HTTP client with this user's token. The reference client would hide details of requests and responses."""
        headers = {"Authorization": f"Bearer {token(role, user_id)}", "Prefer": "wait=20"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)

    # --- processes ----------------------------------------------------------------------------------

    def pids(self, program: str) -> list[int]:
        """Return the pids of a program, parents first. `program`: a queue's name, `beat` or `gunicorn`."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = [child.pid for child in children if self._is(child, program)]
        return sorted(found)

    def api_processes(self) -> list[int]:
        """Return the pids of the API processes that serve requests, without gunicorn's arbiter."""
        parents = self.pids("gunicorn")[:1]
        return sorted(child.pid for parent in parents for child in psutil.Process(parent).children())

    @staticmethod
    def _is(process: psutil.Process, program: str) -> bool:
        try:
            words = process.cmdline()
        except psutil.Error:
            return False
        return program in words or f"--queues={program}" in words

    def kill(self, program: str) -> None:
        """Send SIGKILL to all processes of a program."""
        doomed = self.pids(program)
        assert doomed, f"no process of {program}"
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)


class SystemWithOneWorker(System):
    """A running `weelo up` in which one worker consumes all queues, as by default."""

    options = ()


def doctor(system: System) -> list[str]:
    """Run `weelo doctor` on this system and return its findings, one line each."""
    done = system.weelo("doctor")
    return done.stdout.splitlines() if done.returncode else []

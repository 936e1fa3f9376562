"""The common base of the embedded PostgreSQL and the embedded Valkey, which may outlive the process that started them.

The state of a server is in its directory and in the process table, and not in the memory of its starter. So any process
can use the server of a data dir. If `weelo up` was killed, the next run finds the server still running and uses it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import IO, ClassVar

import psutil
from filelock import FileLock

from weelo_workers.runtime import CommandError
from weelo_workers.runtime.datadir import make_directory, write_private
from weelo_workers.runtime.ports import free_port
from weelo_workers.runtime.processes import named_and_working_in, send

START_SECONDS = 120.0
"""The time limit for a start. After a crash, recovery reads the log since the last checkpoint, at most a GB or so."""
KILL_SECONDS = 10.0
"""The time limit for the end of a process after SIGKILL. A process that waits for a hanging disk ends late."""
LOG_LIMIT_BYTES = 10_000_000
POLL_SECONDS = 0.02

# Matches the severities in PostgreSQL's log, and "error:" in the output of its programs.
_ERROR = re.compile(r"\b(?:FATAL|PANIC|ERROR|error):")

# The servers that this process started. As their parent, only this process can reap them.
_started: list[subprocess.Popen[bytes]] = []


class ServerError(CommandError):
    """An embedded server cannot be used. The text is one line, with the path of the log if there is one."""


def cause_in(output: str) -> str:
    """Return the line of a program's output with the reason for its failure: the last error, otherwise the last line.

    The last error is not always the last line: initdb then lists the files that it removes, and PostgreSQL logs its
    shutdown.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line)]
    return (errors or lines or ["it printed nothing"])[-1]


class EmbeddedServer(ABC):
    """A server that listens on 127.0.0.1 and keeps its data in `<data_dir>/<name>`."""

    name: ClassVar[str]
    process_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    kill_signal: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path) -> None:
        self.home = Path(data_dir).expanduser().absolute() / self.name

    @property
    def log(self) -> Path:
        return self.home / "log"

    @abstractmethod
    def url(self) -> str:
        """Return the URL for clients, with the password. A restart does not change it if the port is still free."""

    @abstractmethod
    def working_directory(self) -> Path:
        """Return the server process's working directory, by which it is recognised."""

    @abstractmethod
    def _prepare(self) -> None:
        """Create the files that the first start needs."""

    @abstractmethod
    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        """Start the server process in a session of its own."""

    @abstractmethod
    def _ready(self) -> bool:
        """Return whether the server accepts connections."""

    @abstractmethod
    def _recorded_pid(self) -> int | None:
        """Return the pid in the server's pid file, which may be out of date."""

    def start(self) -> str:
        """Start the server unless it runs already, wait until it is ready, and return its URL."""
        make_directory(self.home.parent)
        make_directory(self.home)
        with FileLock(self.home / "start.lock", mode=0o600):
            if self.pid() is None:
                self._end_survivors()
                self._prepare()
                self._start_on_a_free_port()
            self._wait_until_ready(None)
        return self.url()

    def pid(self) -> int | None:
        """Return the pid of the running server, None if it does not run."""
        for child in list(_started):
            if child.poll() is not None:
                with suppress(ValueError):  # another thread may have removed the child already
                    _started.remove(child)
        pid = self._recorded_pid()
        return pid if pid is not None and self._is_this_server(pid) else None

    def stop(self, within: float = 10.0) -> None:
        """Shut the server down cleanly. If it does not end in time, kill it.

        No data is lost: the next start recovers it.
        """
        pid = self.pid()
        if pid is None:
            self._end_survivors()  # A server that is still starting has no pid file yet.
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for signum, patience in ((self.stop_signal, within * 0.8), (self.kill_signal, within * 0.2)):
                process.send_signal(signum)
                with suppress(psutil.TimeoutExpired):
                    process.wait(patience)
                    return
        self.kill()

    def kill(self) -> None:
        """Kill the server and all its processes with SIGKILL."""
        self._end_survivors()

    def remove(self) -> None:
        """Kill the server and delete its data."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def restart(self) -> str:
        self.stop()
        return self.start()

    def _is_this_server(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            if process.name() != self.process_name or process.status() == psutil.STATUS_ZOMBIE:
                return False
            return bool(process.cwd() == str(self.working_directory()))
        except psutil.Error:
            return False

    def _end_survivors(self) -> None:
        """Kill the remaining processes of this server.

        Otherwise child processes of a killed PostgreSQL could still write to the data after the next start.
        """
        deadline = time.monotonic() + KILL_SECONDS
        while left := named_and_working_in(self.process_name, str(self.working_directory())):
            if time.monotonic() > deadline:
                raise ServerError(f"embedded {self.name} cannot be ended (pid {left[0].pid})")
            send(signal.SIGKILL, (process.pid for process in left))
            time.sleep(POLL_SECONDS)

    def _start_on_a_free_port(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_name("log.old"))
        for _ in range(5):
            port = free_port(self._port())
            write_private(self._port_file, f"{port}\n")
            size_before = self.log.stat().st_size if self.log.exists() else 0
            child = self._launch(port)
            _started.append(child)
            if self._wait_until_ready(child):
                return
            last_lines = self._log_after(size_before)
            # If another process has taken the port, another port is tried. For other causes a retry does not help.
            if "address already in use" not in last_lines.lower():
                break
        raise ServerError(f"embedded {self.name} does not start: {cause_in(last_lines)} (see {self.log})")

    def _wait_until_ready(self, child: subprocess.Popen[bytes] | None) -> bool:
        """Wait until the server accepts connections. Return False if `child` ends before.

        Raises ServerError after START_SECONDS.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if child is not None and child.poll() is not None:
                return False
            if self._ready():
                return True
            time.sleep(POLL_SECONDS)
        raise ServerError(f"embedded {self.name} is not ready after {START_SECONDS:.0f} s (see {self.log})")

    @property
    def _port_file(self) -> Path:
        return self.home / "port"

    def _port(self) -> int | None:
        try:
            return int(self._port_file.read_text())
        except (OSError, ValueError):
            return None

    def _open_log(self) -> IO[bytes]:
        return open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    def _log_after(self, offset: int) -> str:
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")

"""Runs named processes, restarts those that die, and stops all of them in order.

No library does this: honcho ends everything when one process ends; supervisor and circus need a configuration file and
log files instead of one readable stream, and leave their children running when they are killed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from weelo_workers.backoff import backoff
from weelo_workers.logs.formats import text_of
from weelo_workers.runtime.console_log import OWN_NAME, ConsoleLog
from weelo_workers.runtime.processes import Identity, kill_session
from weelo_workers.runtime.reaper import ChildRegistry, spawn

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
LIVED_SECONDS = 5.0
"""After a process has run for this time, its next restart follows after the shortest pause again."""
STARTED_SECONDS = 15.0
"""A process that ends earlier has failed to start: on a busy machine a start can take this long."""
LOOP_ENDS = 3
"""This many failed starts in a row are a restart loop."""
REPORT_EVERY = 5
POLL_SECONDS = 0.05
# Celery prints a line of this form after an error, to announce when it will connect again. It is not kept as the
# program's last line, because the error is what an operator needs.
NEXT_ATTEMPT = re.compile(r"Trying (?:again in|to reconnect)\b")


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run. Programs stop by `stop_stage`, lowest first, and are killed after `grace` seconds."""

    name: str
    argv: tuple[str, ...]
    stop_stage: int = 0
    grace: float = 3.0
    once: bool = False
    """The program runs to its end, is not restarted, and writes directly to the terminal."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that only this program gets."""


@dataclass(slots=True)
class Child:
    """The state of one program. `due`: when to start it (monotonic), None if it is not to be started."""

    program: Program
    environment: Mapping[str, str] | None
    due: float | None
    process: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    started: float = 0.0
    early_deaths: int = 0
    failed_starts: int = 0
    """The number of starts that have failed in a row."""
    ended: float | None = None
    """The time (monotonic) when the program last ended without being stopped."""
    last_line: str = ""
    exit_code: int | None = None
    reader: threading.Thread | None = field(default=None, repr=False)


class Supervisor:
    """Runs programs. Call `tick()` often from one thread, and `stop()` at the end. The caller handles signals."""

    def __init__(self, console_log: ConsoleLog, registry_file: Path) -> None:
        self._console_log = console_log
        self._children: dict[str, Child] = {}
        self._roster = ChildRegistry(registry_file)
        self._roster.write([])
        self._undertaker = spawn(self._roster)

    def run(self, programs: Iterable[Program], environment: Mapping[str, str] | None = None) -> None:
        """Start programs in order, and keep them running. Without `environment` they inherit ours."""
        for program in programs:
            child = self._children[program.name] = Child(program, environment, due=time.monotonic())
            self._begin(child)

    def tick(self) -> None:
        """Reap the programs that have ended, and start those that are due."""
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                self._reap(child)
                if not child.program.once:
                    self._plan_restart(child, _manner(child.exit_code))
            if child.due is not None and time.monotonic() >= child.due:
                self._begin(child)

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of a program, None while it runs; negative: the signal that ended it."""
        return self._children[name].exit_code

    def pids(self) -> dict[str, int]:
        return {name: child.process.pid for name, child in self._children.items() if child.process}

    def looping(self) -> list[str]:
        """Return a description of each program that keeps ending right after its start, with its last output line."""
        return [
            f"{child.program.name} has ended {child.failed_starts} times at its start, last with: {_last_line(child)}"
            for child in self._children.values()
            if child.failed_starts >= LOOP_ENDS
            and (child.process is None or time.monotonic() - child.started < STARTED_SECONDS)
        ]

    def last_lines(self, names: Iterable[str]) -> list[str]:
        """Return the last line of each of these programs that has printed a line."""
        children = [self._children[name] for name in names if name in self._children]
        return [f"{child.program.name} printed: {child.last_line}" for child in children if child.last_line]

    def unsteady(self, within: float) -> list[str]:
        """Return a description of each program that does not run, or has ended in the last `within` seconds."""
        since = time.monotonic() - within
        return [
            f"{child.program.name} has ended and is started again; its last line: {_last_line(child)}"
            for child in self._children.values()
            if child.due is not None or (child.ended is not None and child.ended > since)
        ]

    def end(self, name: str) -> None:
        """Stop one program permanently: send TERM, and send KILL if it still runs after its `grace`."""
        child = self._children[name]
        child.due = None
        if child.process is not None:
            self._stop_together([child])

    def stop(self) -> None:
        """Stop everything, stage after stage: send TERM, wait up to the longest `grace` of the stage, then send KILL."""
        for child in self._children.values():
            child.due = None
        living = [child for child in self._children.values() if child.process is not None]
        for stage in sorted({child.program.stop_stage for child in living}):
            self._stop_together([child for child in living if child.program.stop_stage == stage])
        self._roster.write([])
        if self._undertaker.stdin is not None:
            self._undertaker.stdin.close()
        self._undertaker.wait()

    def _begin(self, child: Child) -> None:
        program = child.program
        child.due = None
        child.started = time.monotonic()
        try:
            child.process = subprocess.Popen(
                program.argv,
                env={**(os.environ if child.environment is None else child.environment), **program.settings},
                stdin=subprocess.DEVNULL,
                stdout=None if program.once else subprocess.PIPE,
                stderr=None if program.once else subprocess.STDOUT,
                # The user's current directory is not used: Python, Celery, gunicorn and Flower would import and read
                # files from it.
                cwd="/",
                # Each program has a session of its own. Ctrl-C does not reach it, and all its processes can be killed
                # together.
                start_new_session=True,
            )
        except OSError as problem:
            child.last_line = str(problem)
            self._plan_restart(child, f"cannot be started: {problem}")
            return
        child.identity = Identity.of(child.process.pid)
        self._write_registry()
        if not program.once:
            reader = threading.Thread(target=self._read, args=(child, child.process), daemon=True)
            try:
                reader.start()
            except RuntimeError as problem:  # No thread could be started: a limit is reached.
                child.last_line = str(problem)
                # Without a reader the process would block at a full pipe, so it is killed. `tick` starts it again
                # later.
                child.process.kill()
                if child.process.stdout is not None:
                    child.process.stdout.close()
            else:
                child.reader = reader

    def _write_registry(self) -> None:
        """List the child processes for the reaper. A full disk must not end the supervisor, so a failure is only logged."""
        try:
            self._roster.write(each.identity for each in self._children.values() if each.identity is not None)
        except OSError as problem:
            self._console_log.line(OWN_NAME, f"the registry of children cannot be written: {problem}")

    def _read(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                text = line.decode(errors="replace").rstrip()
                if text:
                    if not NEXT_ATTEMPT.match(last := text_of(text)):
                        child.last_line = last
                    self._console_log.child_line(child.program.name, text)

    def _reap(self, child: Child) -> None:
        """Kill the remaining processes of a child process's session, so that they do not disturb the next start.

        Store its exit code.
        """
        if child.process is None:
            return
        kill_session(child.process.pid)
        child.exit_code = child.process.wait()
        child.process = child.identity = None
        if child.reader is not None:
            child.reader.join(timeout=0.5)  # The reader may still be reading the child's last lines.
            child.reader = None

    def _plan_restart(self, child: Child, manner: str) -> None:
        child.ended = time.monotonic()
        lived = child.ended - child.started
        child.failed_starts = child.failed_starts + 1 if lived < STARTED_SECONDS else 0
        child.early_deaths = child.early_deaths + 1 if lived < LIVED_SECONDS else 0
        pause = backoff(child.early_deaths, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
        child.due = time.monotonic() + pause
        name = child.program.name
        self._console_log.line(OWN_NAME, f"{name} {manner}; starting it again in {pause:.1f} s", "WARNING")
        if child.failed_starts % REPORT_EVERY == LOOP_ENDS:
            failing = f"{name} keeps failing at its start ({child.failed_starts} times): {_last_line(child)}"
            self._console_log.line(OWN_NAME, failing, "ERROR")

    def _stop_together(self, children: list[Child]) -> None:
        self._console_log.line(OWN_NAME, "stopping " + ", ".join(child.program.name for child in children))
        deadline = time.monotonic() + max(child.program.grace for child in children)
        running = {child.program.name: child.process for child in children if child.process is not None}
        for process in running.values():
            with suppress(ProcessLookupError):
                # Only the leader of the session gets the signal, because the leader stops its own children.
                process.send_signal(signal.SIGTERM)
        while any(process.poll() is None for process in running.values()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for child in children:
            if child.process is not None and child.process.poll() is None:
                self._console_log.line(
                    OWN_NAME, f"{child.program.name} did not stop in time and is killed", "WARNING"
                )
            self._reap(child)


def _last_line(child: Child) -> str:
    return child.last_line or "it printed nothing"


def _manner(code: int | None) -> str:
    """Return how a process ended, in words. A negative code is the signal that ended it."""
    if code is None or code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}"

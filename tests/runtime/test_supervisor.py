"""The supervisor restarts child processes that end, stops all of them at its end, and leaves no process behind."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.programs import Begin
from tests.support.waiting import eventually
from weelo_workers.runtime import supervisor as supervision
from weelo_workers.runtime.console_log import ConsoleLog
from weelo_workers.runtime.processes import Identity, members_of_session
from weelo_workers.runtime.reaper import ChildRegistry
from weelo_workers.runtime.supervisor import Program, Supervisor

SLEEP = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); {SLEEP}"


def program(name: str, code: str, stop_stage: int = 0, grace: float = 3.0, once: bool = False) -> Program:
    return Program(name, (sys.executable, "-u", "-c", code), stop_stage, grace, once)


def parent_of(child_code: str, then: str = SLEEP) -> str:
    """Return a program that starts a child and prints both pids."""
    return (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-u', '-c', {child_code!r}])\n"
        "print('family', os.getpid(), child.pid)\n" + then
    )


class Stage:
    """A supervisor whose log can be read."""

    def __init__(self, path: Path) -> None:
        self.stream = io.StringIO()
        self.registry_file = path / "children.json"
        self.supervisor = Supervisor(ConsoleLog(self.stream), self.registry_file)
        self.stopped = False

    @property
    def log(self) -> str:
        return self.stream.getvalue()

    def soon(self, condition: Callable[[], object], within: float = 10.0) -> None:
        """Run the supervisor until `condition` is true."""

        def ticked() -> object:
            self.supervisor.tick()
            return condition()

        eventually(ticked, within)

    def stop(self) -> float:
        """Stop the supervisor and return how many seconds that took."""
        began = time.monotonic()
        self.stopped = True
        self.supervisor.stop()
        return time.monotonic() - began


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    built = Stage(tmp_path)
    yield built
    if not built.stopped:
        built.stop()


def test_a_child_that_dies_is_started_again(stage: Stage) -> None:
    stage.supervisor.run([program("worker", SLEEP)])
    first = stage.supervisor.pids()["worker"]
    os.kill(first, signal.SIGKILL)
    stage.soon(lambda: stage.supervisor.pids().get("worker", first) != first)
    assert "worker was ended by SIGKILL; starting it again" in stage.log


def test_a_child_that_fails_again_and_again_is_reported_with_its_last_words(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.001)
    stage.supervisor.run([program("broken", "raise SystemExit('no such thing')")])
    stage.soon(lambda: "broken keeps failing at its start (3 times): no such thing" in stage.log)
    assert stage.supervisor.looping() == ["broken has ended 3 times at its start, last with: no such thing"]


def test_the_announcement_of_another_attempt_does_not_replace_the_cause(stage: Stage) -> None:
    printed = ["ERROR: max clients", "Trying again in 2.00 seconds... (1/None)", "Trying to reconnect..."]
    stage.supervisor.run([program("worker", f"print(*{printed}, sep='\\n'); {SLEEP}")])
    stage.soon(lambda: printed[-1] in stage.log)
    assert stage.supervisor.last_lines(["worker"]) == ["worker printed: ERROR: max clients"]


def test_pauses_grow_up_to_a_bound(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_SECONDS", 0.1)
    stage.supervisor.run([program("broken", "raise SystemExit(1)")])
    stage.soon(lambda: stage.log.count("starting it again in") >= 6)
    pauses = [float(pause) for pause in re.findall(r"again in ([0-9.]+) s", stage.log)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.1


def test_what_cannot_even_be_started_is_reported_and_does_not_hurt_the_others(stage: Stage) -> None:
    stage.supervisor.run([Program("missing", ("/no/such/program",)), program("worker", SLEEP)])
    assert list(stage.supervisor.pids()) == ["worker"]
    assert "missing cannot be started" in stage.log
    assert any(line.startswith("missing ") for line in stage.supervisor.unsteady(within=60))


def test_a_child_for_which_no_thread_can_be_started_is_started_again_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refusals = iter(range(2))

    def refuse_twice(thread: threading.Thread) -> None:
        if next(refusals, None) is not None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(threading.Thread, "start", refuse_twice)
    stage.supervisor.run([program("worker", f"print('works'); {SLEEP}")])
    stage.soon(lambda: re.search(r" worker +\| works", stage.log))
    assert stage.log.count("worker was ended by SIGKILL; starting it again") == 2
    stage.stop()


def test_stages_stop_one_after_the_other(stage: Stage) -> None:
    ending = (
        "import signal, sys, time\n"
        "def end(*_): time.sleep(0.2); print('gone'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('here'); time.sleep(60)"
    )
    names = {"workers": 3, "api": 2, "flower": 1, "beat": 0}
    stage.supervisor.run([program(name, ending, stop_stage=at) for name, at in names.items()])
    stage.soon(lambda: stage.log.count("here") == 4)
    assert stage.stop() < 15
    assert re.findall(r"(\w+) +\| gone", stage.log) == ["beat", "flower", "api", "workers"]


def test_who_does_not_stop_in_time_is_killed_with_all_its_processes(stage: Stage) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    stage.supervisor.run([program("deaf", deaf + parent_of(DEAF), grace=0.3)])
    leader = stage.supervisor.pids()["deaf"]
    stage.soon(lambda: "family" in stage.log and "| deaf" in stage.log)
    assert len(members_of_session(leader)) == 2
    assert stage.stop() < 5
    assert members_of_session(leader) == []
    assert "deaf did not stop in time and is killed" in stage.log


def test_a_dead_child_takes_its_own_children_along(stage: Stage) -> None:
    stage.supervisor.run([program("pool", parent_of(SLEEP))])
    leader = stage.supervisor.pids()["pool"]
    stage.soon(lambda: "family" in stage.log)
    os.kill(leader, signal.SIGKILL)
    stage.soon(lambda: members_of_session(leader) == [])


def test_a_program_that_runs_once_is_not_started_again(stage: Stage) -> None:
    stage.supervisor.run([program("demo", "raise SystemExit(3)", once=True)])
    stage.soon(lambda: stage.supervisor.exit_code("demo") is not None)
    stage.supervisor.tick()
    assert stage.supervisor.exit_code("demo") == 3
    assert stage.supervisor.pids() == {}


def test_a_killed_supervisor_leaves_no_children(begin: Begin, tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time, pathlib
        from weelo_workers.runtime.console_log import ConsoleLog
        from weelo_workers.runtime.supervisor import Program, Supervisor
        supervisor = Supervisor(ConsoleLog(sys.stdout), pathlib.Path(sys.argv[1]))
        supervisor.run([Program(name, (sys.executable, "-u", "-c", sys.argv[2])) for name in ("one", "two")])
        while True:
            supervisor.tick()
            time.sleep(0.05)
    """)
    doomed = begin("-c", script, str(tmp_path / "children.json"), parent_of(DEAF))
    assert doomed.stdout is not None
    families: list[str] = []
    while len(families) < 4:
        families += re.findall(r"\d+", doomed.stdout.readline().partition("family")[2])
    doomed.kill()
    doomed.wait()
    eventually(lambda: not any(Identity.of(int(pid)) for pid in families), within=5)


def test_the_next_start_ends_what_the_undertaker_could_not(tmp_path: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", DEAF], start_new_session=True, stdout=subprocess.DEVNULL)
    identity = Identity.of(orphan.pid)
    assert identity is not None
    registry = ChildRegistry(tmp_path / "children.json")
    registry.write([identity])
    assert registry.end() == 1
    assert orphan.wait(timeout=5) == -signal.SIGKILL


def test_a_stranger_with_the_pid_of_a_former_child_is_spared(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    try:
        registry = ChildRegistry(tmp_path / "children.json")
        registry.write([Identity(stranger.pid, born=time.time() - 3_600)])
        assert registry.end() == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_undertaker_leaves_the_children_of_a_later_supervisor_alone(tmp_path: Path) -> None:
    later = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    try:
        identity = Identity.of(later.pid)
        assert identity is not None
        registry = ChildRegistry(tmp_path / "children.json")
        registry.write([identity])
        assert registry.end(supervisor=os.getpid() + 1) == 0
        assert later.poll() is None
    finally:
        later.kill()
        later.wait()


def test_the_log_has_the_time_the_name_and_the_text(stage: Stage) -> None:
    stage.supervisor.run([program("worker", f"print('all of it'); print('', end='tail'); {SLEEP}")])
    stage.soon(lambda: "all of it" in stage.log)
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d{4}"
    assert re.fullmatch(rf"{when} WARNING worker +\| all of it", stage.log.splitlines()[0])


def test_colours_are_for_terminals_and_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def logged() -> str:
        stream = io.StringIO()
        console_log = ConsoleLog(stream)
        console_log.introduce(["api", "beat"])
        console_log.line("api", "text")
        return stream.getvalue()

    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert "\033[" not in logged()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\033[" in logged()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in logged()


def test_lines_are_held_back_while_something_else_draws() -> None:
    stream = io.StringIO()
    console_log = ConsoleLog(stream)
    console_log.hold()
    console_log.line("api", "later")
    assert stream.getvalue() == ""
    console_log.release()
    assert "later" in stream.getvalue()

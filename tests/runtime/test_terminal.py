"""On a terminal, Ctrl-C and Ctrl-\\ end everything in order and leave the terminal as it was; Ctrl-Z suspends nothing."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.programs import STAND_IN, without_weelo
from weelo_workers.runtime.ports import free_port

ROOT = Path(__file__).parents[2]
CTRL_C, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x1a", b"\x1c"
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


class Terminal:
    """A program on a terminal of its own (a pty). `shown`: everything written to the terminal so far."""

    def __init__(self, *argv: str, cwd: Path | None = None, **environment: str) -> None:
        self.shown = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd or ROOT)
            os.execvpe(argv[0], argv, {**without_weelo(), "TERM": "xterm", **environment})  # noqa: S606 (no shell)

    def until(self, text: bytes, within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while text not in self.shown:
            assert time.monotonic() < deadline, f"no {text!r} within {within} s:\n{self.shown.decode()}"
            assert self._read(0.2), f"ended without {text!r}:\n{self.shown.decode()}"

    def press(self, key: bytes) -> None:
        os.write(self._fd, key)

    def end(self, within: float = 30.0) -> int:
        """Wait for the program's end. Return its exit code, negative for a signal."""
        deadline = time.monotonic() + within
        while self._read(0.2):
            assert time.monotonic() < deadline, f"still running after {within} s:\n{self.shown.decode()}"
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def last_line(self) -> bytes:
        return self.shown.strip().splitlines()[-1]

    def has_its_cursor(self) -> bool:
        """Return whether the cursor is visible after everything that was written."""
        return self.shown.rfind(SHOW_CURSOR) >= self.shown.rfind(HIDE_CURSOR)

    def _read(self, within: float) -> bool:
        """Read what is available. Return False once the program has closed the terminal."""
        if select.select([self._fd], [], [], within)[0]:
            try:
                self.shown += os.read(self._fd, 65_536)
            except OSError:  # Linux raises EIO when the program has closed the terminal
                return False
        return True


Open = Callable[..., Terminal]


@pytest.fixture
def terminal() -> Iterator[Open]:
    opened: list[Terminal] = []

    def start(*argv: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Terminal:
        opened.append(Terminal(*argv, cwd=cwd, **(environment or {})))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


WEELO = """#!/bin/sh
trap 'sleep 0.2; echo weelo stopped; exit 0' INT
echo "weelo $*"
for _ in $(seq 200); do sleep 0.1; done  # limited, because nothing ends it once its terminal is closed
"""


# With this argument, `make` treats the environment as installed, because IDENTITY equals the stamp in
# `.venv/.installed`.
AS_STAMPED = "IDENTITY=echo installed"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the Makefile and an installed `weelo` that only waits for Ctrl-C."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "setup.cfg").touch()
    (tmp_path / "pyproject.toml").touch()
    program = tmp_path / ".venv" / "bin" / "weelo"
    program.parent.mkdir(parents=True)
    program.write_text(WEELO)
    program.chmod(0o755)
    (tmp_path / ".venv" / ".installed").write_text("installed\n")
    return tmp_path


def test_ctrl_c_ends_make_run_with_exit_code_0_and_stopped_as_its_last_line(
    terminal: Open, project: Path
) -> None:
    make = terminal("make", "run", AS_STAMPED, cwd=project)
    make.until(b"weelo up --demo")
    make.press(CTRL_C)
    assert make.end() == 0
    assert make.last_line().endswith(b"weelo stopped")
    assert b"Interrupt" not in make.shown


def test_make_run_runs_in_the_background_as_well(terminal: Open, project: Path) -> None:
    """`make run` must not take the terminal, because the kernel suspends a background job that takes it."""
    shell = terminal("bash", "-c", f"set -m; make run '{AS_STAMPED}' & wait", cwd=project)
    shell.until(b"weelo up --demo", within=20)


# Demos that hide the cursor and draw. The second one ignores SIGTERM.
DRAWS = {
    "draws": "import time; print('\\x1b[?25lDRAWING', flush=True); time.sleep(600)",
    "draws on and ignores SIGTERM": (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print('\\x1b[?25lDRAWING', flush=True); time.sleep(600)"
    ),
}


def up_with(demo: str, data_dir: Path) -> tuple[str, ...]:
    """Return the command line of a `weelo up --demo` that runs this code in place of the demo."""
    up = STAND_IN.replace("print('the show'); raise SystemExit(7)", demo)
    assert demo in up
    options = ("--demo", "--no-flower", "--port", str(free_port()), "--data-dir", str(data_dir))
    return (sys.executable, "-c", up, "up", *options)


@pytest.mark.parametrize(("demo", "key"), [*((demo, CTRL_C) for demo in DRAWS), ("draws", CTRL_BACKSLASH)])
def test_a_key_that_ends_it_while_the_demo_draws_shows_the_cursor_again(
    demo: str, key: bytes, terminal: Open, data_dir: Path
) -> None:
    weelo = terminal(*up_with(DRAWS[demo], data_dir))
    weelo.until(b"DRAWING")
    weelo.press(key)
    assert weelo.end() == 0
    assert weelo.has_its_cursor()
    assert weelo.last_line().endswith(b"stopped")


def test_ctrl_z_does_not_suspend_the_system(terminal: Open, data_dir: Path) -> None:
    """A suspended supervisor would restart no process. It would also read no output, so processes would block."""
    in_a_job = ("bash", "-c", 'set -m; "$@"; echo "ended with $?"', "bash")
    shell = terminal(*in_a_job, *up_with(DRAWS["draws"], data_dir))
    shell.until(b"DRAWING")
    shell.press(CTRL_Z)
    shell.press(CTRL_C)
    shell.until(b"ended with")
    assert shell.end() == 0
    assert shell.last_line() == b"ended with 0"


def test_ctrl_z_while_the_demo_draws_shows_the_cursor(terminal: Open) -> None:
    in_a_job = ("bash", "-c", 'set -m; "$@"; echo suspended; fg', "bash")
    shell = terminal(*in_a_job, sys.executable, "-c", LIVE)
    shell.until(HIDE_CURSOR)
    shell.press(CTRL_Z)
    shell.until(b"suspended")
    assert SHOW_CURSOR in shell.shown[: shell.shown.index(b"suspended")]
    shell.press(CTRL_C)
    shell.end()
    assert shell.has_its_cursor()


LIVE = """
import time
from rich.console import Console
from weelo_demo.show import Show
from weelo_demo.terminal import show_cursor_when_terminated

show_cursor_when_terminated()
with Show(Console()).watching([]):
    time.sleep(600)
"""


@pytest.mark.long_except("2")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_demos_picture_shows_the_cursor_again_however_it_is_ended(
    signum: signal.Signals, terminal: Open
) -> None:
    demo = terminal(sys.executable, "-c", LIVE)
    demo.until(HIDE_CURSOR)
    os.kill(demo.pid, signum)
    assert demo.end() != 0
    assert demo.has_its_cursor()

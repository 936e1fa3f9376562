"""Restores the terminal's cursor when a signal ends or suspends the demo."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

# The code that shows the cursor (DECTCEM); the newline moves the shell's prompt below the picture.
SHOW_CURSOR = b"\033[?25h\n"


def show_cursor_when_terminated() -> None:
    """Install handlers that show the terminal's cursor before a signal ends or suspends this process as usual.

    Ctrl-C needs no handler: it raises KeyboardInterrupt, and `Show` then shows the cursor.
    """
    if sys.stdout.isatty():
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(signum, _show_cursor_and_end)
        signal.signal(signal.SIGTSTP, _show_cursor_and_suspend)


def _show_cursor_and_end(signum: int, _: FrameType | None) -> None:
    # `os.write` is used, because the signal may have interrupted a `print`, which is not reentrant.
    os.write(sys.stdout.fileno(), SHOW_CURSOR)
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)


def _show_cursor_and_suspend(_signum: int, _: FrameType | None) -> None:
    os.write(sys.stdout.fileno(), SHOW_CURSOR)
    signal.raise_signal(signal.SIGSTOP)

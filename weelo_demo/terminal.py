"""Restores the terminal's cursor when a signal ends the demo."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

SHOW_CURSOR = b"\033[?25h\n"  # DECTCEM; the newline moves the shell's prompt below the picture


def show_cursor_when_terminated() -> None:
    """Install handlers for SIGTERM and SIGHUP that show the terminal's cursor and then end this process as usual.

    Ctrl-C needs no handler: it raises KeyboardInterrupt, and `Show` then shows the cursor.
    """
    if sys.stdout.isatty():
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _show_cursor_and_end)


def _show_cursor_and_end(signum: int, _: FrameType | None) -> None:
    # `os.write`, because the signal may have interrupted a `print`, which is not reentrant.
    os.write(sys.stdout.fileno(), SHOW_CURSOR)
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)

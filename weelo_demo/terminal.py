"""The terminal that the demo draws on, and how it is left."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

SHOW_CURSOR = b"\033[?25h\n"  # DECTCEM; the newline leaves the picture whole


def show_cursor_when_terminated() -> None:
    """Make SIGTERM and SIGHUP show the terminal's cursor again, and then end this process as they usually do.

    Ctrl-C needs no help: it raises KeyboardInterrupt, and the live picture tidies up after itself.
    """
    if sys.stdout.isatty():
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _show_cursor_and_end)


def _show_cursor_and_end(signum: int, _: FrameType | None) -> None:
    # Not by `print`: the interrupted code may be in the middle of one.
    os.write(sys.stdout.fileno(), SHOW_CURSOR)
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)

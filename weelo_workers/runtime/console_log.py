"""One log of many processes: their log lines, unchanged, and lines about the processes; on a terminal with colours."""

from __future__ import annotations

import os
import threading
from collections import deque
from datetime import datetime
from typing import TextIO

from weelo_workers.logs.formats import LogFormat, Origin, console_line, is_formatted, json_line

# ANSI foreground colours without red, which the processes use for errors.
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
HELD_LINES = 2_000
OWN_NAME = "up"
HEAD_ENDS = " | "
USUAL_TERMINAL = "\033[0m\033[?25h"  # SGR 0 (ECMA-48) ends colours, and DECTCEM shows the cursor.


class ConsoleLog:
    """Writes whole lines from several threads to one stream. If the stream is closed, lines are dropped."""

    def __init__(self, stream: TextIO, log_format: LogFormat = "console") -> None:
        self._stream = stream
        self._format = log_format
        self._lock = threading.Lock()
        self._colours: dict[str, int] = {}
        self._held: deque[str] | None = None
        forced = bool(os.environ.get("FORCE_COLOR"))
        self._coloured = not os.environ.get("NO_COLOR") and (forced or stream.isatty())

    def introduce(self, names: list[str]) -> None:
        """Give each of these processes a colour."""
        for name in names:
            self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])

    def line(self, name: str, text: str, level: str = "INFO") -> None:
        """Write a line about this process, in the format of all log lines. `name`: the process, or OWN_NAME for `weelo up` itself."""
        made = json_line if self._format == "json" else console_line
        self.pass_on(name, made(datetime.now().astimezone().timestamp(), level, Origin(name), text, {}))

    def child_line(self, name: str, text: str) -> None:
        """Write what a child process has printed: its log lines unchanged, anything else as a warning.

        Our processes write log lines only, so any other output is unexpected, such as that of a process that crashed.
        """
        if is_formatted(text, self._format):
            self.pass_on(name, text)
        else:
            self.line(name, text, "WARNING")

    def pass_on(self, name: str, line: str) -> None:
        """Write a formatted line of this process."""
        if self._coloured and name in self._colours:
            head, ends, rest = line.partition(HEAD_ENDS)
            line = f"\033[{self._colours[name]}m{head}{ends}\033[0m{rest}" if ends else line
        with self._lock:
            if self._held is None:
                self._write(f"{line}\n")
            else:
                self._held.append(f"{line}\n")

    def say(self, text: str) -> None:
        """Write a line without time and name, for people and programs that wait for it."""
        with self._lock:
            self._write(f"{text}\n")

    def hold(self) -> None:
        """Keep lines back while something else draws on the terminal. Only the newest are kept."""
        with self._lock:
            self._held = deque(maxlen=HELD_LINES)

    def release(self) -> None:
        """Write the lines that were kept back, and write later lines at once.

        The program that drew on the terminal may have been killed while the cursor was hidden, so the cursor is shown
        again here.
        """
        with self._lock:
            held, self._held = self._held, None
            if held is not None and self.drawn_on:
                self._write(USUAL_TERMINAL)
            for text in held or ():
                self._write(text)

    @property
    def drawn_on(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):  # The stream is closed, so the line is dropped.
            pass

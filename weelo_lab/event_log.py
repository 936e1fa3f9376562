"""The event log of a run: one JSON line for each event, the same for the same seed on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import IO, Any

from weelo_lab.virtual_clock import SECOND


def digest(payload: Any) -> str:
    """Return a short hash of a payload: the first 16 hexadecimal digits of the SHA-256 of its JSON with sorted keys."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class EventLog:
    """Hashes the lines of a run, and writes them to a file if one is given."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self.lines = 0

    def add(self, micros: int, kind: str, **about: Any) -> None:
        """Add an event: its time after the beginning of the run, its kind, and further values (`about`)."""
        at = f"{micros // SECOND}.{micros % SECOND:06}"
        line = json.dumps({"at": at, "kind": kind, **about}, separators=(",", ":"), default=str) + "\n"
        self._sum.update(line.encode())
        self.lines += 1
        if self._file is not None:
            self._file.write(line)

    @property
    def hash(self) -> str:
        """The SHA-256 of all lines so far, in hexadecimal digits."""
        return self._sum.hexdigest()

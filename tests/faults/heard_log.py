"""The lines of one user's log as received over all connections, without the repetitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from weelo_client import Frame


class Line(NamedTuple):
    """One line of a log in a comparable form: `data` has sorted keys, because jsonb keeps no order of fields."""

    id: str | None
    event: str
    at: str | None
    data: str

    @classmethod
    def of(cls, event_id: str | None, event: str, at: str | None, data: Mapping[str, Any]) -> Line:
        return cls(event_id, event, at, json.dumps(data, sort_keys=True))

    @classmethod
    def written(cls, line: Mapping[str, Any]) -> Line:
        """Return a line of `GET /events` as a `Line`."""
        return cls.of(line["id"], line["event"], line["at"], line["data"])


class HeardLog:
    """The log of one user as received. `lines`: all lines before the first gap. `wrong`: violations of the protocol."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.repeated = 0
        self.wrong: list[str] = []
        self._early: dict[int, Line] = {}

    @property
    def newest(self) -> int:
        return len(self.lines)

    def add(self, seq: int, line: Line) -> bool:
        """Record a line, and return whether it was the next one.

        A line after a gap is kept only for comparison, because the server must send it again after the missing lines.
        """
        known = self.lines[seq - 1] if seq <= self.newest else self._early.pop(seq, line)
        if known != line:
            self.wrong.append(f"{seq} was {known} and was repeated as {line}")
        if seq <= self.newest:
            self.repeated += 1
            return False
        if seq > self.newest + 1:
            self._early[seq] = line
            return False
        self.lines.append(line)
        return True

    def add_frame(self, frame: Frame) -> None:
        """Record a frame from the reference client, which must pass on each line once and in order."""
        if frame.seq is not None:
            if frame.seq != self.newest + 1:
                self.wrong.append(f"the reference client went from {self.newest} to {frame.seq}")
            self.add(frame.seq, Line.of(frame.id, frame.event, frame.at, frame.data))

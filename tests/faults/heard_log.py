"""What one person has heard of their log, however often it was said and over however many connections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from weelo_client import Frame


class Line(NamedTuple):
    """One line of a log, in a form that compares: the database keeps no order of fields."""

    id: str | None
    event: str
    at: str | None
    data: str

    @classmethod
    def of(cls, event_id: str | None, event: str, at: str | None, data: Mapping[str, Any]) -> Line:
        return cls(event_id, event, at, json.dumps(data, sort_keys=True))

    @classmethod
    def written(cls, line: Mapping[str, Any]) -> Line:
        """As `GET /events` has it."""
        return cls.of(line["id"], line["event"], line["at"], line["data"])


class HeardLog:
    """`lines`: the log from its beginning, as far as it was heard without a gap. `wrong`: what no connection may do."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.repeated = 0
        self.wrong: list[str] = []
        self._early: dict[int, Line] = {}

    @property
    def newest(self) -> int:
        return len(self.lines)

    def add(self, seq: int, line: Line) -> bool:
        """Whether this was the next line. One that comes early comes again, behind those that are missing."""
        known = self.lines[seq - 1] if seq <= self.newest else self._early.pop(seq, line)
        if known != line:
            self.wrong.append(f"{seq} was {known} and came again as {line}")
        if seq <= self.newest:
            self.repeated += 1
            return False
        if seq > self.newest + 1:
            self._early[seq] = line
            return False
        self.lines.append(line)
        return True

    def add_frame(self, frame: Frame) -> None:
        """From the reference client, who hands over each line once and in order."""
        if frame.seq is not None:
            if frame.seq != self.newest + 1:
                self.wrong.append(f"the reference client went from {self.newest} to {frame.seq}")
            self.add(frame.seq, Line.of(frame.id, frame.event, frame.at, frame.data))

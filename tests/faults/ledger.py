"""The ledger: what every caller was answered, and every frame that everybody heard."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

from tests.faults.heard_log import HeardLog
from weelo_api.gateway import _KEYS


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: the connection broke, and nobody knows whether the request arrived; 500: nor does the API."""

    at: float
    status: int
    body: Any = None
    recorded: bool = False
    """It names the command, so it is a promise or an outcome, and no refusal at the door."""


@dataclass(slots=True)
class LedgerEntry:
    """One command as its caller knows it. Repeated requests bear the same key and are one command."""

    who: str
    role: str
    what: str
    key: str
    at: float = field(default_factory=time.time)
    answers: list[Answer] = field(default_factory=list)

    @property
    def command_id(self) -> str:
        """As the gateway makes it, so that also one without an answer can be asked after."""
        return str(uuid5(_KEYS, f"{self.who}:{self.key}"))

    @property
    def promised(self) -> bool:
        return any(answer.recorded for answer in self.answers)

    @property
    def turned_away(self) -> bool:
        """Every request of it was answered, each with a no at the door."""
        return bool(self.answers) and not any(a.recorded or a.status in (0, 500) for a in self.answers)

    @property
    def outcomes(self) -> list[tuple[int, Any]]:
        """What was said to have become of it: status and body, when the caller waited for that."""
        return [(a.status, a.body) for a in self.answers if a.recorded and a.status != 202]


class Ledger:
    """May be written by many threads."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.ears: dict[str, HeardLog] = {}
        self.spoiled: list[str] = []
        """What went wrong in the play itself: nothing may."""
        self._lock = threading.Lock()

    def open(self, who: str, role: str, what: str, key: str) -> LedgerEntry:
        entry = LedgerEntry(who, role, what, key)
        with self._lock:
            self.entries.append(entry)
        return entry

    def heard_log(self, who: str) -> HeardLog:
        return self.ears.setdefault(who, HeardLog())

    def answered(self) -> Mapping[str, int]:
        """How many answers of each sort there were."""
        with self._lock:
            entries = list(self.entries)
        return Counter(
            f"{answer.status}" if answer.status else "none"
            for entry in entries
            for answer in list(entry.answers)
        )

"""The ledger: every response to every command, and every frame that was received."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.faults.heard_log import HeardLog
from weelo_api.commands.idempotency import id_of_key


@dataclass(frozen=True, slots=True)
class Answer:
    """One response to a command. `status` 0: the connection broke, and it is unknown whether the request arrived.

    500: the API does not know whether the command was recorded.
    """

    at: float
    status: int
    body: Any = None
    recorded: bool = False
    """Whether the response contains the command's id. Then the command was stored (202 or an outcome)."""


@dataclass(slots=True)
class LedgerEntry:
    """One command as its caller knows it. Repeated requests have the same key and belong to the same command."""

    who: str
    role: str
    what: str
    key: str
    at: float = field(default_factory=time.time)
    answers: list[Answer] = field(default_factory=list)

    @property
    def command_id(self) -> str:
        """Return the command's id. The gateway derives it from the key, so it is known even if no response was received."""
        return str(id_of_key(UUID(self.who), self.key))

    @property
    def promised(self) -> bool:
        return any(answer.recorded for answer in self.answers)

    @property
    def turned_away(self) -> bool:
        """Return whether the command was certainly never stored: it has responses, and each of them refused it."""
        return bool(self.answers) and not any(a.recorded or a.status in (0, 500) for a in self.answers)

    @property
    def outcomes(self) -> list[tuple[int, Any]]:
        """Return status and body of each outcome that the caller waited for."""
        return [(a.status, a.body) for a in self.answers if a.recorded and a.status != 202]


class Ledger:
    """All commands and received frames of one fault test. Thread-safe."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.ears: dict[str, HeardLog] = {}
        self.spoiled: list[str] = []
        """Errors other than failed checks; there must be none."""
        self._lock = threading.Lock()

    def open(self, user_id: str, role: str, what: str, key: str) -> LedgerEntry:
        entry = LedgerEntry(user_id, role, what, key)
        with self._lock:
            self.entries.append(entry)
        return entry

    def heard_log(self, user_id: str) -> HeardLog:
        return self.ears.setdefault(user_id, HeardLog())

    def answered(self) -> Mapping[str, int]:
        """Return the number of answers by status; "none" counts the unanswered requests."""
        with self._lock:
            entries = list(self.entries)
        return Counter(
            f"{answer.status}" if answer.status else "none"
            for entry in entries
            for answer in list(entry.answers)
        )

"""The argument of every measure: the running system, the size of the measure, and the ceilings of the same run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine

from bench.ceilings import Ceilings
from tests.support.system import System
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    system: System
    data: Path
    quick: bool
    """Whether every measure takes its small form, which only shows that the measure works."""
    ceilings: Ceilings

    def size(self, full: T, quick: T) -> T:
        return quick if self.quick else full

    @contextmanager
    def database(self) -> Iterator[Engine]:
        """Yield an engine for the system's database."""
        engine = connect(Postgres(self.data).url("weelo"))
        try:
            yield engine
        finally:
            engine.dispose()

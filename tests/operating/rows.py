"""Statements on the database of the running system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text


@dataclass
class Rows:
    """A function that runs a statement in a transaction of its own and returns the rows, if any."""

    engine: Engine

    def __call__(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(text(query), parameters)
            return list(result.all()) if result.returns_rows else []

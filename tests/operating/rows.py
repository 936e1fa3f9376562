"""Statements on the database of the running system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text


@dataclass
class Rows:
    """Called with a statement, it runs it in its own transaction and returns its rows, if any."""

    engine: Engine

    def __call__(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(text(query), parameters)
            return list(result.all()) if result.returns_rows else []

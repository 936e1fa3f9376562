"""Prepared statements: PostgreSQL parses and plans a marked statement once per connection, instead of each time.

A statement is marked by the execution option `prepared`, whose value names it: `select(…).execution_options(**prepared("claim"))`.
psycopg2 has no function for this, so the statement is prepared and executed by the SQL commands PREPARE and EXECUTE.

A prepared statement belongs to one session of the server. A pooler may share sessions among its clients. Behind such a
pooler statements are not prepared, but sent as plain SQL.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement, Connection, Engine, event
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

_OPTION = "prepared"
_AFTER = "prepared after"
_DIALECT = psycopg2.dialect()  # type: ignore[no-untyped-call]

PARAMETERS = {
    # This parameter shows whether the connection has a server session of its own. PostgreSQL accepts any name with a
    # dot, and a pooler that shares sessions refuses or drops it.
    "weelo.own_session": "on",
    # With this setting PostgreSQL plans a prepared statement once. By default it may plan the statement again at each
    # execution, for the values of its parameters (a custom plan), which takes time.
    "plan_cache_mode": "force_generic_plan",
}
"""Parameters of the startup packet."""

MOST = 100
"""How many statements a connection keeps. Each takes some tens of kilobytes of the server process's memory."""

KEPT_SECONDS = 10.0
"""After this time a statement is prepared anew. PostgreSQL keeps a plan until the table is analyzed. A plan that was
made for a table of a few rows would still read all rows after the table has grown."""

_STATEMENTS = "prepared statements"
"""The key under which a connection keeps the names of its prepared statements, the most recently used last, each with the
time of its preparation (monotonic clock)."""

_MISSING = "26000"
"""PostgreSQL's error code for a prepared statement that does not exist: the pooler has switched to another session."""

_EXISTS = "42P05"
"""PostgreSQL's error code for a prepared statement that exists: its preparation was interrupted before it was recorded."""

_OTHER_RESULT = "cached plan must not change result type"
"""PostgreSQL's error after a migration has changed the type of a column that a prepared statement returns."""

_PARAMETER = re.compile(r"%(?:\((\w+)\)s|(s)|%)")


@dataclass(frozen=True, slots=True)
class _Prepared:
    name: str
    prepare: str
    execute: str


def prepared(name: str, *, after: ClauseElement | None = None) -> dict[str, str]:
    """Return the execution options of a statement to be prepared. `name`: what `pg_stat_activity` shows.

    `after`: another statement, which is executed first in the same round trip, with the same parameters. Its result is
    dropped. Use it to lock rows before a query reads them: the query then sees everything that was committed before the
    lock was granted. A single statement that locks and reads would not see all of it.

    Mark only statements whose text is the same each time: a parameter with a list of values needs `= ANY (…)`, because
    `IN (…)` has one parameter for each value. Constants that a partial index needs must be part of the text.
    """
    if after is None:
        return {_OPTION: name}
    return {_OPTION: name, _AFTER: str(after.compile(dialect=_DIALECT))}


class PreparedStatements:
    """Prepares the marked statements of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._shares_sessions = False
        event.listen(engine, "connect", self._find_out)
        event.listen(engine, "before_cursor_execute", self._execute, retval=True)
        event.listen(engine, "handle_error", self._begin_anew)

    def _find_out(self, raw: Any, record: ConnectionPoolEntry) -> None:
        """Find out whether this connection has a server session of its own: only then our startup parameter is set in it."""
        if self._shares_sessions:
            return
        with raw.cursor() as cursor:
            cursor.execute("SELECT current_setting('weelo.own_session', true)")
            (found,) = cursor.fetchone()
        raw.rollback()
        if found:
            record.info[_STATEMENTS] = OrderedDict()

    def _execute(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        """Return the statement and its parameters as they are to be sent."""
        name = context.execution_options.get(_OPTION) if context is not None else None
        if name is None or many:
            return statement, parameters
        known: OrderedDict[str, float] | None = connection.info.get(_STATEMENTS)
        parts = [(name, statement)]
        if (before := context.execution_options.get(_AFTER)) is not None:
            parts.insert(0, (f"before_{name}", before))
        if known is None:
            return "; ".join(part for _, part in parts), parameters
        return "; ".join(self._prepare(cursor, known, *part) for part in parts), parameters

    @staticmethod
    def _prepare(cursor: Any, known: OrderedDict[str, float], name: str, statement: str) -> str:
        """Prepare this statement if it is not prepared, and return the command that executes it."""
        found = _prepared(name, statement)
        now = time.monotonic()
        is_known = found.name in known
        if not is_known or now - known[found.name] >= KEPT_SECONDS:
            if is_known or len(known) >= MOST:
                dropped = found.name if is_known else next(iter(known))
                # In a failed transaction DEALLOCATE raises. The statement then remains in `known`, because the server
                # still has it.
                cursor.execute(f"DEALLOCATE {dropped}")
                del known[dropped]
            cursor.execute(found.prepare)
            known[found.name] = now
        known.move_to_end(found.name)
        return found.execute

    def _begin_anew(self, context: ExceptionContext) -> None:
        """Replace the connections if a prepared statement cannot be used any more.

        The transaction then fails as if its connection were lost.
        """
        error = context.original_exception
        code = getattr(error, "pgcode", None)
        if code == _MISSING:
            self._shares_sessions = True
        if code in (_MISSING, _EXISTS) or _OTHER_RESULT in str(error):
            context.is_disconnect = True


@lru_cache(maxsize=512)
def _prepared(name: str, statement: str) -> _Prepared:
    """Return the commands PREPARE and EXECUTE for a statement with psycopg2's placeholders, `%(name)s` or `%s`."""
    order: dict[str, int] = {}
    placeholders: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        key = found[1] or f"#{len(placeholders)}"
        if key not in order:
            order[key] = len(order) + 1
            placeholders.append(found[0])
        return f"${order[key]}"

    body = _PARAMETER.sub(numbered, statement)
    full_name = f"{name}_{hashlib.sha256(body.encode()).hexdigest()[:12]}"
    arguments = f" ({', '.join(placeholders)})" if placeholders else ""
    return _Prepared(full_name, f"PREPARE {full_name} AS {body}", f"EXECUTE {full_name}{arguments}")

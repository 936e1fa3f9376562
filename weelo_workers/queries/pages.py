"""Pages by cursor, newest first. New rows do not shift later pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    Select,
    Uuid,
    bindparam,
    cast,
    or_,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import Wire
from weelo_workers.models.prepared import prepared

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page:
    views: Sequence[Wire | dict[str, Any]]
    next_cursor: str | None

    @property
    def items(self) -> list[dict[str, Any]]:
        """Return the views as data that can be written as JSON, with the contract's names of fields."""
        return [each.json_dict() if isinstance(each, Wire) else each for each in self.views]

    def json(self) -> bytes:
        """Return the page as JSON. This is faster than encoding `items`."""
        return to_json({"items": self.views, "nextCursor": self.next_cursor}, by_alias=True)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`?limit=&cursor=`. A cursor encodes time and id of the last row of the previous page."""

    limit: int
    cursor: str | None

    def apply(
        self,
        session: Session,
        query: Select[Row],
        time: InstrumentedAttribute[datetime],
        tie: InstrumentedAttribute[UUID],
    ) -> tuple[list[Row], str | None]:
        """Return the rows of this page, and the cursor of the next page, which is None on the last page."""
        return self._cut(list(session.scalars(self._cutout(query, time, tie))), time.key, tie.key)

    def apply_to_columns(
        self, session: Session, query: Select[Any], time: ColumnElement[datetime], tie: ColumnElement[UUID]
    ) -> tuple[list[Any], str | None]:
        """Do the same as `apply` for a query of columns. `time` and `tie` are two of these columns and must be labelled."""
        return self._cut(list(session.execute(self._cutout(query, time, tie))), time.key, tie.key)

    def run(
        self, session: Session | Connection, query: Paged, parameters: dict[str, Any]
    ) -> tuple[list[Any], str | None]:
        """Return the rows of this page, and the cursor of the next page, which is None on the last page."""
        time, tie = _decode(self.cursor) if self.cursor is not None else (None, None)
        where = {"before": time, "before_tie": tie, "rows": self.limit + 1}
        return self._cut(list(session.execute(query.select, {**parameters, **where})), query.time, query.tie)

    def run_around(
        self,
        session: Session,
        query: Select[Any, Any],
        time: InstrumentedAttribute[datetime],
        tie: InstrumentedAttribute[UUID],
        around: Callable[[CTE], Select[Any]],
    ) -> tuple[list[Any], str | None]:
        """Return a page as `apply_to_columns` does, with further columns that are computed for its rows only.

        `query` finds the rows of all pages. `around` gets a CTE with the rows of this page, and returns a statement
        that adds columns to them and keeps the columns `time` and `tie`.
        """
        page = self._cutout(query, time, tie).cte("page")
        statement = around(page).order_by(page.c[time.key].desc(), page.c[tie.key].desc())
        return self._cut(list(session.execute(statement)), time.key, tie.key)

    def _cutout(self, query: Select[Any], time: Any, tie: Any) -> Select[Any]:
        if self.cursor is not None:
            query = query.where(tuple_(time, tie) < tuple_(*_decode(self.cursor)))
        return query.order_by(time.desc(), tie.desc()).limit(self.limit + 1)

    def _cut(self, rows: list[Row], time: str | None, tie: str | None) -> tuple[list[Row], str | None]:
        if len(rows) <= self.limit:
            return rows, None
        last = rows[self.limit - 1]
        return rows[: self.limit], _encode(getattr(last, str(time)), getattr(last, str(tie)))


@dataclass(frozen=True, slots=True)
class Paged:
    """A query, built once, that is read page by page. `time`, `tie`: the names of the columns that order its rows."""

    select: Select[Any]
    time: str
    tie: str


def paged(
    query: Select[Any], time: InstrumentedAttribute[datetime], tie: InstrumentedAttribute[UUID], *, name: str
) -> Paged:
    """Return the query as a `Paged`, newest rows first, for `PageRequest.run`.

    `time`, `tie`: columns of the query, by which its rows are ordered. `name`: the name of the prepared statement.
    """
    before = cast(bindparam("before"), DateTime(timezone=True))
    older = tuple_(time, tie) < tuple_(before, bindparam("before_tie", type_=Uuid()))
    in_order = query.where(or_(before.is_(None), older)).order_by(time.desc(), tie.desc())
    page = in_order.limit(bindparam("rows", type_=Integer())).execution_options(**prepared(name))
    return Paged(page, time.key, tie.key)


def _encode(moment: datetime, tie: UUID) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()}|{tie}".encode()).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    """Return the time in UTC and the id. Raises Rejected(VALIDATION_ERROR) for a cursor that `_encode` never makes."""
    try:
        moment, _, tie = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        time, last = datetime.fromisoformat(moment), UUID(tie)
        # Python accepts offsets that PostgreSQL refuses, so only times in UTC are sent to the database.
        in_utc = time.astimezone(UTC)
    except (ValueError, binascii.Error, OverflowError):
        raise _unknown_cursor() from None
    # Years that PostgreSQL or a time zone conversion cannot handle are refused. Cursors of this program never contain
    # them.
    if time.tzinfo is None or not 1970 <= in_utc.year < 9999:
        raise _unknown_cursor()
    return in_utc, last


def _unknown_cursor() -> Rejected:
    """Return the rejection of a cursor.

    It is a new exception each time, because the traceback of a shared one would keep the frames of earlier requests.
    """
    how = "use the nextCursor of an earlier page"
    return Rejected(
        Code.VALIDATION_ERROR, f"cursor: {how}", {"errors": [{"field": "cursor", "message": how}]}
    )

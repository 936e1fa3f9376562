"""Finds the rows of a person: in indexed tables directly, in the mailbox and in the events by reading the whole table.

No index leads from a person to their commands, or from a broadcast to its events. Such an index would cost every command
some time, and these rows are searched seldom. So those tables are read in portions, in the order of a key that does not
change, which finds every row that exists when the search begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import aliased

from weelo_workers.contracts.command import audit_of
from weelo_workers.models import (
    Assignment,
    AuditRecord,
    Base,
    Broadcast,
    EventRecord,
    LogLine,
    MailboxRow,
    Offer,
    PassedOver,
    TransitionRecord,
    Webhook,
)
from weelo_workers.models.mailbox import active
from weelo_workers.person.scrubbing import COMMANDS_WITH_PERSONAL_DATA, EVENTS_WITH_PERSONAL_DATA

PERSON = bindparam("person", type_=Uuid())
_MENTIONS = bindparam("mentions", type_=Text())
_REQUEST_IDS = bindparam("request_ids", type_=ARRAY(Text()))
_ALL_REQUEST_IDS = bindparam("all_request_ids", type_=Boolean())
_BEGAN = bindparam("began", type_=DateTime(timezone=True))

OWN_REQUEST_ID = re.compile("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
"""The form of the ids that the API makes if a client sends none. Such an id is no personal data."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table that belong to a person in one way. `key`: columns that are unique and never change.

    `within`: the condition of the rows to read, which an index can evaluate if there is one. `which`: the further
    condition that such a row has data of the person. `is_theirs`: whether everything in such a row belongs to the
    person (see `scrubbing.scrub_row`). `columns`: the columns that may have data of the person; None: all.
    """

    name: str
    table: Table
    key: Sequence[ColumnElement[Any]]
    within: ColumnElement[bool]
    which: ColumnElement[bool]
    is_theirs: ColumnElement[bool]
    columns: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows with data of the person, and `is_theirs` in each. `read`: how many rows were read. `cursor`: None at the end."""

    rows: Sequence[dict[str, Any]]
    read: int
    cursor: list[str] | None


def parameters(
    person: UUID, began: datetime, request_ids: Sequence[str] = (), *, all_request_ids: bool = False
) -> dict[str, Any]:
    """Return the parameters of the conditions of all parts.

    `began`: what the person has sent after this time is left out. `request_ids`: the request ids that the person's apps
    have made. `all_request_ids`: whether these are too many for a list. Then the ids of all apps count as the person's.
    """
    return {
        "person": person,
        "mentions": f"%{person}%",
        "began": began,
        "request_ids": list(request_ids),
        "all_request_ids": all_request_ids,
    }


def read_portion(
    connection: Connection,
    part: Part,
    given: dict[str, Any],
    cursor: Sequence[str] | None,
    size: int,
    *,
    lock: bool = False,
) -> Portion:
    """Read up to `size` rows after the cursor. `given`: see `parameters`. `lock`: lock the rows with the person's data."""
    query = select(*part.key).where(part.within).order_by(*part.key).limit(size)
    if cursor is not None:
        query = query.where(tuple_(*part.key) > tuple_(*_values(part, cursor)))
    keys = [tuple(row) for row in connection.execute(query, given)]
    if not keys:
        return Portion([], 0, None)
    rows = (
        select(part.table, part.is_theirs.label("is_theirs"))
        .where(tuple_(*part.key).in_(keys), part.which)
        .order_by(*part.key)
    )
    if lock:
        rows = rows.with_for_update(key_share=True, of=part.table)
    found = connection.execute(rows, given).mappings().all()
    last = [_text(value) for value in keys[-1]]
    return Portion([dict(row) for row in found], len(keys), last if len(keys) == size else None)


def _values(part: Part, cursor: Sequence[str]) -> list[ColumnElement[Any]]:
    read: dict[type, Callable[[str], Any]] = {datetime: datetime.fromisoformat}
    types = [column.type.python_type for column in part.key]
    return [
        literal(read.get(kind, kind)(text), column.type)
        for kind, text, column in zip(types, cursor, part.key, strict=True)
    ]


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# --- the parts ------------------------------------------------------------------------------------------


def _part(
    table: str,
    within: Callable[[Any], ColumnElement[bool]],
    key: str = "id",
    *,
    called: str = "",
    which: ColumnElement[bool] | None = None,
    is_theirs: ColumnElement[bool] | None = None,
    columns: frozenset[str] | None = None,
) -> Part:
    rows = Base.metadata.tables[table]
    return Part(
        name=called or table,
        table=rows,
        key=[rows.c[name] for name in key.split()],
        within=within(rows.c),
        which=true() if which is None else which,
        is_theirs=true() if is_theirs is None else is_theirs,
        columns=columns,
    )


def _all(_row: object) -> ColumnElement[bool]:
    return true()


_THEIR_BROADCASTS = select(Broadcast.id).where(Broadcast.customer_id == PERSON)
_THEIR_TRUCKS = or_(Assignment.driver_id == PERSON, Assignment.transporter_id == PERSON)
_THEIR_ASSIGNMENTS = select(Assignment.id).where(_THEIR_TRUCKS)
_ASSIGNMENTS_TO_THEM = select(Assignment.id).where(Assignment.broadcast_id.in_(_THEIR_BROADCASTS))
_THEIR_WEBHOOKS = select(Webhook.id).where(Webhook.user_id == PERSON)

# If the broadcast of an event is purged already, its customer is found by the logs: `broadcast_state_changed` is in the
# log of the customer only.
_line, _state = aliased(LogLine), aliased(EventRecord)
_SAME_BROADCAST = EventRecord.data["broadcastId"].astext == _state.data["broadcastId"].astext
_ABOUT_THEIR_BROADCAST = case(
    (
        exists().where(Broadcast.id == EventRecord.data["broadcastId"].astext.cast(Uuid())),
        exists().where(
            Broadcast.id == EventRecord.data["broadcastId"].astext.cast(Uuid()),
            Broadcast.customer_id == PERSON,
            Broadcast.created_at <= _BEGAN,
        ),
    ),
    else_=exists().where(
        EventRecord.data.has_key("broadcastId"),
        _line.user_id == PERSON,
        _state.id == _line.event_id,
        _state.event == "broadcast_state_changed",
        _SAME_BROADCAST,
    ),
)
# Each of these events has one reader, and is about this reader.
_READ_BY_THEM = and_(
    EventRecord.event.in_(("command_settled", "webhook_disabled")),
    EventRecord.at <= _BEGAN,
    exists().where(_line.event_id == EventRecord.id, _line.user_id == PERSON),
)
_EVENT_IS_THEIRS = or_(_ABOUT_THEIR_BROADCAST, _READ_BY_THEM)

_SENT_BY_THEM = func.coalesce(MailboxRow.caller_id == PERSON, False)
_NAMES_THEM = or_(
    MailboxRow.payload.cast(Text()).like(_MENTIONS),
    func.coalesce(MailboxRow.result.cast(Text()).like(_MENTIONS), False),
)
_IS_OVER = not_(active(MailboxRow))


def _from_operators_about_them() -> ColumnElement[bool]:
    subjects = {
        "broadcast": _THEIR_BROADCASTS,
        "assignment": union_all(_THEIR_ASSIGNMENTS, _ASSIGNMENTS_TO_THEM),
        "transporter": select(PERSON),
    }
    found: list[ColumnElement[bool]] = []
    for command in COMMANDS_WITH_PERSONAL_DATA:
        if (audit := audit_of(command)) is not None and audit.subject_id is not None:
            ids = subjects[audit.subject].subquery()
            about = MailboxRow.payload[audit.subject_id].astext
            is_theirs = about.in_(select(cast(ids.c[0], Text())))
            found.append(and_(MailboxRow.name == command, is_theirs))
    return or_(*found)


FROM_OPERATORS_ABOUT_THEM = _from_operators_about_them()
"""The condition that a command has words of an operator about the person, or about their request or trip."""

PARTS: tuple[Part, ...] = (
    # Broadcasts come first. A transaction that copies an address into an event holds the lock on the broadcast. So once
    # the broadcasts are erased, all events with the original address are committed and will be found, and later
    # transactions copy only the replacement.
    _part(
        "broadcasts",
        lambda row: and_(row.customer_id == PERSON, row.created_at <= _BEGAN),
        "created_at id",
    ),
    _part("users", lambda row: row.id == PERSON),
    _part("transporters", lambda row: row.id == PERSON),
    # Vehicles come before drivers, because commands that assign a truck lock them in this order.
    _part("vehicles", lambda row: row.transporter_id == PERSON),
    _part("drivers", lambda row: row.id == PERSON),
    _part("devices", lambda row: and_(row.user_id == PERSON, row.registered_at <= _BEGAN)),
    _part("webhooks", lambda row: and_(row.user_id == PERSON, row.created_at <= _BEGAN)),
    _part("webhook_deliveries", lambda row: row.webhook_id.in_(_THEIR_WEBHOOKS), "webhook_id at id"),
    _part(
        "truck_requests", lambda row: row.broadcast_id.in_(_THEIR_BROADCASTS), "broadcast_id request_number"
    ),
    _part(
        "relations",
        lambda row: row.customer_id == PERSON,
        "customer_id transporter_id",
        called="relations of a customer",
    ),
    _part(
        "relations",
        lambda row: row.transporter_id == PERSON,
        "transporter_id customer_id",
        called="relations of a transporter",
    ),
    _part("holds", lambda row: row.transporter_id == PERSON),
    _part("offers", lambda row: row.transporter_id == PERSON, "offered_at broadcast_id transporter_id"),
    _part(
        "passed_over",
        _all,
        "broadcast_id transporter_id round step",
        which=PassedOver.transporter_id == PERSON,
    ),
    _part(
        "assignments",
        lambda row: row.transporter_id == PERSON,
        "created_at id",
        called="assignments of a fleet",
    ),
    _part(
        "assignments", lambda row: row.driver_id == PERSON, "created_at id", called="assignments of a driver"
    ),
    _part(
        "assignments",
        lambda row: row.broadcast_id.in_(_THEIR_BROADCASTS),
        "broadcast_id id",
        called="assignments of a customer",
    ),
    _part(
        "transitions",
        lambda row: row.broadcast_id.in_(_THEIR_BROADCASTS),
        "broadcast_id id",
        called="transitions of a customer",
    ),
    _part(
        "transitions",
        lambda row: row.broadcast_id.in_(select(Assignment.broadcast_id).where(_THEIR_TRUCKS)),
        "broadcast_id id",
        called="transitions of trucks",
        which=or_(
            TransitionRecord.actor_id == PERSON,
            TransitionRecord.subject_id.in_(select(Assignment.id).where(_THEIR_TRUCKS)),
        ),
    ),
    _part(
        "transitions",
        lambda row: row.broadcast_id.in_(select(Offer.broadcast_id).where(Offer.transporter_id == PERSON)),
        "broadcast_id id",
        called="transitions of offers",
        which=and_(TransitionRecord.subject == "offer", TransitionRecord.subject_id == PERSON),
    ),
    _part(
        "audit",
        lambda row: row.subject_id == PERSON,
        called="audit of a person",
        # Audit records of exports and erasures are not among these rows, because their column `reason` names no person.
        which=AuditRecord.command.not_like("person.%"),
    ),
    _part(
        "audit",
        lambda row: row.subject_id.in_(_THEIR_BROADCASTS),
        called="audit of a customer",
    ),
    _part(
        "audit",
        lambda row: row.subject_id.in_(_THEIR_ASSIGNMENTS),
        called="audit of trucks",
    ),
    _part(
        "audit",
        lambda row: row.subject_id.in_(_ASSIGNMENTS_TO_THEM),
        called="audit of trucks for a customer",
    ),
    _part("log_heads", lambda row: row.user_id == PERSON, "user_id"),
    _part("log_lines", lambda row: row.user_id == PERSON, "user_id seq"),
    _part(
        "events",
        _all,
        "position",
        which=and_(
            EventRecord.event.in_(EVENTS_WITH_PERSONAL_DATA),
            or_(_EVENT_IS_THEIRS, EventRecord.data.cast(Text()).like(_MENTIONS)),
        ),
        is_theirs=_EVENT_IS_THEIRS,
    ),
    _part(
        "mailbox",
        _all,
        # The command of the erasure also names the person, and is left out, because it is not settled yet.
        which=and_(_IS_OVER, MailboxRow.received_at <= _BEGAN, or_(_SENT_BY_THEM, _NAMES_THEM)),
        is_theirs=_SENT_BY_THEM,
    ),
    _part(
        "mailbox",
        _all,
        called="operators' commands",
        which=and_(_IS_OVER, MailboxRow.received_at <= _BEGAN, FROM_OPERATORS_ABOUT_THEM),
        # The other columns with personal data, such as the name and number of the caller, are left out: they are the
        # operator's.
        columns=frozenset({"payload", "error"}),
    ),
    _part("erasures", lambda row: row.person_id == PERSON, "command_id"),
)
"""Where the rows of a person are. Erasing works through them in this order."""

COMMANDS_THAT_FOLLOWED = _part(
    "mailbox",
    _all,
    called="commands that followed",
    which=and_(
        MailboxRow.caller_id.is_(None),
        MailboxRow.request_id.is_not(None),
        or_(
            MailboxRow.request_id == func.any(_REQUEST_IDS),
            and_(_ALL_REQUEST_IDS, MailboxRow.request_id.op("!~")(OWN_REQUEST_ID.pattern)),
        ),
    ),
)
"""Timers and other commands of the system that have the request id of a person's command."""

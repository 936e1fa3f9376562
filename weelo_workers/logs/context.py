"""The fields that are added to every log line of the current work, such as the id of the command being executed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any

from weelo_workers.request_ids import request_id

_NONE: Mapping[str, Any] = MappingProxyType({})
_bound: ContextVar[Mapping[str, Any]] = ContextVar("fields of log lines", default=_NONE)

Fields = Mapping[str, Any]


def bind(**fields: Any) -> Token[Fields]:
    """Add fields to the lines that this thread or task logs from now on. A field that is None is left out.

    Return the token with which `restore` undoes it.
    """
    return _bound.set({**_bound.get(), **fields})


def restore(token: Token[Fields]) -> None:
    """Undo a `bind`, and every later one."""
    _bound.reset(token)


def clear() -> None:
    """Remove all fields. Called when a thread has ended one piece of work and will begin another."""
    _bound.set(_NONE)


def extra(**fields: Any) -> dict[str, Any]:
    """Return the argument `extra` of a call of a logger, for fields of this line only. A field that is None is left out.

    Texts of users, names, phone numbers, tokens and places must not be fields.
    """
    return {"fields": fields}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return all fields of a record: those of the current work, those of this line, and at the end the request's id."""
    bound: Fields = getattr(record, "bound", _NONE)
    own: Fields = getattr(record, "fields", _NONE)
    fields = {name: value for name, value in {**bound, **own}.items() if value is not None}
    if of_request := getattr(record, "request_id", None):
        fields["request_id"] = of_request
    return fields


def label_records() -> None:
    """Make every log record keep the fields of the current work, and its request's id as `request_id` (or None).

    The fields are added when a record is made, because a handler may format it in another thread. Calling this function
    again has no further effect.
    """
    make = logging.getLogRecordFactory()
    if make is not _labelled:
        _labelled.make = make  # type: ignore[attr-defined]
        logging.setLogRecordFactory(_labelled)


def _labelled(*args: object, **kwargs: object) -> logging.LogRecord:
    record: logging.LogRecord = _labelled.make(*args, **kwargs)  # type: ignore[attr-defined]
    record.bound = _bound.get()
    record.request_id = request_id.get()
    return record

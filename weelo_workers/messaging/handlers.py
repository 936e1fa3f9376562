"""The registry of handlers: which function executes which command. It is filled as the handlers' modules are imported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.rejections import Rejected
from weelo_workers.contracts.wire import Wire
from weelo_workers.messaging.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

C = TypeVar("C", bound=Command)
Handler = Callable[[C, UnitOfWork], Wire | None]

_handlers: dict[str, Callable[[Any, UnitOfWork], Wire | None]] = {}


def handles(command: type[C]) -> Callable[[Handler[C]], Handler[C]]:
    """Register the function that executes this command. Its return value is the command's result."""

    def register(handler: Handler[C]) -> Handler[C]:
        if command.name in _handlers:
            raise TypeError(f"{command.name} has two handlers")
        _handlers[command.name] = handler
        return handler

    return register


BatchHandler = Callable[[Sequence[C], Session], None]

_batch_handlers: dict[str, BatchHandler[Any]] = {}


def handles_together(command: type[C]) -> Callable[[BatchHandler[C]], BatchHandler[C]]:
    """Register the function that executes a batch of this command.

    If it raises, each command of the batch is executed by itself.
    """

    def register(handler: BatchHandler[C]) -> BatchHandler[C]:
        _batch_handlers[command.name] = handler
        return handler

    return register


EventWriter = Callable[[UnitOfWork, Sequence[EventEnvelope]], None]

_event_writers: list[EventWriter] = []


def writes_events(writer: EventWriter) -> EventWriter:
    """Register the function that writes the events of a transaction. It is called after all other rows are written."""
    if _event_writers:
        raise TypeError("two functions write events")
    _event_writers.append(writer)
    return writer


def event_writer() -> EventWriter:
    """Return the function that writes the events of a transaction. Raises LookupError if none is registered."""
    if not _event_writers:
        raise LookupError("no function is registered that writes events")
    return _event_writers[0]


Observer = Callable[[UnitOfWork, Rejected | None], Callable[[], None] | None]

_observers: list[Observer] = []


def observes_outcomes(observer: Observer) -> Observer:
    """Register a function that is called for every command after its handler has returned or has rejected the command.

    The arguments of the function are the unit of work with all transitions, and the rejection or None. The function
    must execute no statement, and returns a function to call after the commit, or None.
    """
    if _observers:
        raise TypeError("two functions observe outcomes")
    _observers.append(observer)
    return observer


def observe_outcome(uow: UnitOfWork, refusal: Rejected | None) -> Callable[[], None] | None:
    """Call the observer, and return its result: a function to call after the commit, or None.

    Errors of the observer are logged, and do not fail the command.
    """
    for observer in _observers:
        try:
            return observer(uow, refusal)
        except Exception:
            log.exception("%s could not be observed", uow.command_name)
    return None


def batch_handlers() -> dict[str, BatchHandler[Any]]:
    """Return a copy of the handlers of batches by the names of their commands."""
    return dict(_batch_handlers)


def handler_for(name: str) -> Callable[[Any, UnitOfWork], Wire | None] | None:
    """Return the handler of this command; None if this version does not know the command (a newer one wrote it)."""
    return _handlers.get(name)


def registered_handlers() -> dict[str, Callable[[Any, UnitOfWork], Wire | None]]:
    """Return a copy of the registry: handlers by the names of their commands."""
    return dict(_handlers)

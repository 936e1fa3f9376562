"""Which function executes which command: filled as the verbs' modules are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.wire import Wire
from weelo_workers.messaging.unit_of_work import UnitOfWork

C = TypeVar("C", bound=Command)
Handler = Callable[[C, UnitOfWork], Wire | None]

_handlers: dict[str, Callable[[Any, UnitOfWork], Wire | None]] = {}


def handles(command: type[C]) -> Callable[[Handler[C]], Handler[C]]:
    """Marks the one function that executes this command. What it returns is the command's result."""

    def register(handler: Handler[C]) -> Handler[C]:
        if command.name in _handlers:
            raise TypeError(f"{command.name} has two handlers")
        _handlers[command.name] = handler
        return handler

    return register


def handler_for(name: str) -> Callable[[Any, UnitOfWork], Wire | None] | None:
    """The verb for this command; None if this process does not know it (a newer one wrote it)."""
    return _handlers.get(name)


def registered_handlers() -> dict[str, Callable[[Any, UnitOfWork], Wire | None]]:
    return dict(_handlers)

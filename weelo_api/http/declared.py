"""Decorators that declare what a view answers. `weelo_api.openapi` describes each route by these declarations.

What follows from other facts is not declared: a route with roles can answer 401, a route with a body 413 and 415, and a
route of a command everything that `submit` answers (see `openapi/answers.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import current_app, request
from pydantic import BaseModel

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.rejections import Code

View = TypeVar("View", bound=Callable[..., Any])

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response without an error code.

    `model` is the shape of its JSON. It is None if the response has other content or no content.
    """

    status: int
    model: type[BaseModel] | None = None
    content_type: str | None = JSON
    description: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """Everything that is declared for a view."""

    answers: tuple[Answer, ...] = ()
    rejects: frozenset[Code] = frozenset()
    cannot_reject: frozenset[Code] = frozenset()
    command: type[Command] | None = None


def sends(
    status: int,
    model: type[BaseModel] | None = None,
    *,
    content_type: str | None = JSON,
    description: str = "",
) -> Callable[[View], View]:
    """Return a decorator that declares one response of a view. Repeat it for further statuses."""

    def mark(view: View) -> View:
        view.answers = (Answer(status, model, content_type, description), *_answers(view))  # type: ignore[attr-defined]
        return view

    return mark


def rejects(*codes: Code) -> Callable[[View], View]:
    """Return a decorator that declares codes with which the view itself rejects requests, beside those of its command."""

    def mark(view: View) -> View:
        view.rejects = frozenset(codes)  # type: ignore[attr-defined]
        return view

    return mark


def submits(command: type[Command], *, without: tuple[Code, ...] = ()) -> Callable[[View], View]:
    """Return a decorator that declares which command the view submits.

    `without`: codes of the command that this route cannot cause, such as ORDER_NOT_FOUND on a route of bookings.
    """

    def mark(view: View) -> View:
        view.command = command  # type: ignore[attr-defined]
        view.cannot_reject = frozenset(without)  # type: ignore[attr-defined]
        return view

    return mark


def declared(view: Callable[..., Any]) -> Declared:
    """Return what the decorators have declared for this view."""
    return Declared(
        answers=_answers(view),
        rejects=getattr(view, "rejects", frozenset()),
        cannot_reject=getattr(view, "cannot_reject", frozenset()),
        command=getattr(view, "command", None),
    )


def ensure_declared(command: Command) -> None:
    """Raise TypeError if the view of this request does not declare that it submits commands of this class."""
    view = current_app.view_functions[request.endpoint or ""]
    if getattr(view, "command", None) is not type(command):
        raise TypeError(f"{request.endpoint}: mark the view with @submits({type(command).__name__})")


def _answers(view: Callable[..., Any]) -> tuple[Answer, ...]:
    found: tuple[Answer, ...] = getattr(view, "answers", ())
    return found

"""The routes of the application, with everything that is known about each of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from flask import Flask
from pydantic import BaseModel

from weelo_api.http.access import SOCKET
from weelo_api.http.declared import Answer, Declared, declared
from weelo_workers.contracts.statuses import Role

PREFIX = "/api/v1/"
VIEWS = "weelo_api.views"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_ADDED_BY_FLASK = {"HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Route:
    """A path and a method.

    `path`, `query`, `body`: the models that validate these parts of a request. `roles`: empty if no token is needed.
    """

    address: str
    method: str
    endpoint: str
    view: Callable[..., Any]
    roles: frozenset[Role]
    declared: Declared
    answers: tuple[Answer, ...]
    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: type[BaseModel] | None

    @property
    def is_api(self) -> bool:
        return self.address.startswith(PREFIX)

    @property
    def is_command(self) -> bool:
        return self.declared.command is not None

    @property
    def has_parameters(self) -> bool:
        return "{" in self.address

    @property
    def tag(self) -> str:
        """The group of the route: the module of its view, such as `offers`."""
        if self.endpoint == SOCKET:
            return "notifications"
        package, _, module = self.view.__module__.rpartition(".")
        return module if package == VIEWS else "operating"

    @property
    def operation_id(self) -> str:
        """The name of the view with its blueprint, such as `offersAcceptSlot`."""
        first, *others = re.split(r"[._]", self.endpoint)
        return first + "".join(word.capitalize() for word in others)


def is_described(view: Callable[..., Any]) -> bool:
    """Return whether the document describes this view: it has roles, or declares its responses."""
    return bool(getattr(view, "roles", None) or getattr(view, "responses", None) or declared(view).answers)


def routes(app: Flask) -> Iterator[Route]:
    """Yield every described route, ordered by address and method."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        if is_described(view):
            for method in sorted((rule.methods or set()) - _ADDED_BY_FLASK):
                yield _route(_PARAMETER.sub(r"{\1}", rule.rule), method, rule.endpoint, view)


def _route(address: str, method: str, endpoint: str, view: Callable[..., Any]) -> Route:
    function = inspect.unwrap(view)
    models = get_type_hints(function)
    by_status = getattr(view, "responses", {})
    answers = tuple(Answer(int(status), model) for status, model in sorted(by_status.items()))
    found = declared(view)
    return Route(
        address=address,
        method=method,
        endpoint=endpoint,
        view=function,
        roles=getattr(view, "roles", frozenset()),
        declared=found,
        answers=(*answers, *found.answers),
        path=models.get("path"),
        query=models.get("query"),
        body=models.get("body"),
    )

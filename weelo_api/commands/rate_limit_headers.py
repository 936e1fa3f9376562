"""The headers that announce the rate limits of a route (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request

from weelo_api.commands.rate_limit import Policy, buckets
from weelo_api.http.declared import declared
from weelo_workers.contracts.command import Caller

View = TypeVar("View", bound=Callable[..., Any])


def limited_by_worker(policy: Policy) -> Callable[[View], View]:
    """Return a decorator that marks a view whose command has a limit of its own, which the handler enforces."""

    def mark(view: View) -> View:
        view.own_limit = policy  # type: ignore[attr-defined]
        return view

    return mark


def register(app: Flask) -> None:
    """Add `RateLimit-Policy` and `RateLimit` to every response of the routes that submit commands."""

    @app.after_request
    def _announce(response: Response) -> Response:
        view = current_app.view_functions.get(request.endpoint or "")
        if view is not None and declared(view).command is not None:
            policies, remaining = _limits(response)
            response.headers["RateLimit-Policy"] = policies
            if remaining:
                response.headers["RateLimit"] = remaining
        return response


def _limits(response: Response) -> tuple[str, str]:
    """Return the values of the two headers. The second is empty for a request without a valid token."""
    user = cast(Caller | None, g.get("caller"))
    own: Policy | None = getattr(current_app.view_functions[request.endpoint or ""], "own_limit", None)
    policies, remaining = [buckets().policy, *([own] if own else [])], []
    if user is not None:
        count, seconds = buckets().left(user.id)
        refused = g.get("refused_by_bucket", False)
        remaining.append(buckets().policy.remaining(0 if refused else count, seconds))
        if own and response.status_code == 429 and not refused:
            # After a refusal nothing is left. After other responses it would take a query to know how much is left.
            remaining.append(own.remaining(0, int(response.headers.get("Retry-After", own.seconds))))
    return ", ".join(map(str, policies)), ", ".join(remaining)

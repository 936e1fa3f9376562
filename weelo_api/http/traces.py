"""The span of each request under /api/v1, if traces are on."""

from __future__ import annotations

from flask import Flask, Response, g, request

from weelo_api.http.access import SOCKET
from weelo_workers import tracing

PREFIX = "/api/v1/"


def register(app: Flask) -> None:
    """Begin a span before each request. A request with the header `traceparent` continues the trace of its client."""

    @app.before_request
    def _begin() -> None:
        rule = request.url_rule
        # A socket stays open for hours, so it is no step of a trace.
        if tracing.are_on() and rule and rule.rule.startswith(PREFIX) and rule.endpoint != SOCKET:
            name = f"{request.method} {rule.rule}"
            attributes = {"http.request.method": request.method, "http.route": rule.rule}
            parent = request.headers.get("traceparent")
            g.span = tracing.span(name, "server", attributes, parent=parent)
            g.span.__enter__()

    @app.after_request
    def _note(response: Response) -> Response:
        if "span" in g:
            user = g.get("caller")
            role = user.role.value if user else None
            tracing.annotate({"http.response.status_code": response.status_code, "weelo.role": role})
        return response

    @app.teardown_request
    def _end(_: BaseException | None) -> None:
        if "span" in g:
            g.pop("span").__exit__(None, None, None)

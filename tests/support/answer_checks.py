"""Compares every HTTP response that a test gets with docs/openapi.json. (test_documents.py compares that file with the code.)

`install` hooks into httpx and into Flask's test client; raw_http.py calls `check_raw`. A response of the API is
recognised by two headers that all of them have. Responses without them come from other servers and are not compared. The
responses of a sandbox are compared with the sandbox's own document, because a sandbox has further routes.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flask
import flask.testing
import httpx
import jsonschema_rs

from tests.support import deviations
from tests.support.sources import ROOT

Schema = dict[str, Any]

PROBLEM = "application/problem+json"
OF_THE_SERVER = {400, 414, 417, 431, 501, 505}
"""Statuses of responses to requests that are not valid HTTP. gunicorn sends these responses without calling the application."""
OF_NO_OPERATION = {
    "GET": {"NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL_ERROR", "VALIDATION_ERROR"},
    # Flask answers OPTIONS for every route, but the role is checked first, so further codes are possible.
    "OPTIONS": {
        "NOT_FOUND",
        "METHOD_NOT_ALLOWED",
        "UNAUTHORIZED",
        "TOKEN_EXPIRED",
        "FORBIDDEN",
        "VALIDATION_ERROR",
    },
}
"""The codes allowed if no operation has the request's path or method. Methods that are not listed have GET's codes."""
PAGES = ("/docs", "/console")
"""The beginnings of the paths of pages for people, which the document does not describe."""
CONSOLE, HTML = "/console", "text/html"
"""The console reports errors to browsers as HTML pages, and to other programs as problems with any code."""


@dataclass(frozen=True)
class Answered:
    """A request and its response. `target`: path and query as sent; None if the request has no readable first line."""

    method: str
    target: str | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    described_by: Operations | None = None
    """The operations of the server's own document; None for those of docs/openapi.json."""


@dataclass(frozen=True)
class Described:
    """One response of one operation. `validators`: by content type; None if it is not JSON."""

    required_headers: frozenset[str]
    validators: Mapping[str, Any]


class Operations:
    """The operations of a document. Validators are compiled once, when they are first used."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._components = _closed(document["components"])
        self._routes = [
            (re.compile(re.sub(r"\\?\{[^}]+\\?\}", "[^/]+", re.escape(path))), path)
            # Paths without parameters come first: `/broadcasts/current` also matches `/broadcasts/{id}`.
            for path in sorted(document["paths"], key=lambda path: ("{" in path, path))
        ]
        self._of_problems = self.validator({"$ref": "#/components/schemas/Problem"})

    def deviations(self, seen: Answered) -> list[str]:
        """Return the differences between this response and the document, one line each."""
        # A target can also be a whole address (RFC 9112, section 3.2.2).
        path = re.sub(r"^https?://[^/]*", "", seen.target or "").partition("?")[0]
        template = next((path_ for pattern, path_ in self._routes if pattern.fullmatch(path)), None)
        method = "get" if seen.method == "HEAD" else seen.method.lower()
        if template is None or method not in self._document["paths"][template]:
            return self._of_no_operation(seen, path)
        described = self._described(template, method, seen.status)
        if described is None:
            return self._undescribed(seen)
        return self._content(seen, described)

    def _of_no_operation(self, seen: Answered, path: str) -> list[str]:
        if seen.status < 400:
            fine = seen.method == "OPTIONS" or path.startswith(PAGES) or seen.target is None
            return [] if fine else ["the document has no such operation"]
        if path.startswith(CONSOLE):
            return [] if _content_type(seen).startswith(HTML) else self._problem(seen, None)
        codes = OF_NO_OPERATION.get(seen.method, OF_NO_OPERATION["GET"])
        return self._problem(seen, codes if seen.target is not None else None)

    def _undescribed(self, seen: Answered) -> list[str]:
        code = _code(seen)
        if seen.status in OF_THE_SERVER and code == "VALIDATION_ERROR":
            return self._problem(seen, {code})
        if seen.status == 404 and "#" in (seen.target or "") and code == "NOT_FOUND":
            return self._problem(seen, {code})  # a target with a fragment is no valid address
        return [f"the status is not described (code {code})"]

    def _problem(self, seen: Answered, codes: set[str] | None) -> list[str]:
        if _content_type(seen) != PROBLEM:
            return [f"the content type of an error is {_content_type(seen)}"]
        if seen.method == "HEAD":
            return []
        found = _errors(self._of_problems, seen.body)
        code = _code(seen)
        return found if codes is None or code in codes else [*found, f"the code is {code}"]

    def _content(self, seen: Answered, described: Described) -> list[str]:
        present = {name.lower() for name in seen.headers}
        found = [
            f"no header {name}" for name in sorted(described.required_headers) if name.lower() not in present
        ]
        if seen.method == "HEAD" or (not described.validators and not seen.body):
            return found
        validator = described.validators.get(_content_type(seen), ...)
        if validator is ...:
            return [*found, f"the content type is {_content_type(seen)}"]
        return found + (_errors(validator, seen.body) if validator is not None else [])

    @functools.cache  # noqa: B019 (there are few objects of this class)
    def _described(self, template: str, method: str, status: int) -> Described | None:
        response = self._document["paths"][template][method]["responses"].get(str(status))
        if response is None:
            return None
        response = self._resolved(response)
        headers = {name: self._resolved(each) for name, each in response.get("headers", {}).items()}
        return Described(
            frozenset(name for name, header in headers.items() if header.get("required")),
            {
                media_type: self.validator(content["schema"]) if "json" in media_type else None
                for media_type, content in response.get("content", {}).items()
            },
        )

    def _resolved(self, thing: Schema) -> Schema:
        while "$ref" in thing:
            place: Any = self._document
            for step in thing["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            thing = place
        return thing

    def validator(self, schema: Schema) -> Any:
        """Return a validator of this schema that allows no fields other than those described."""
        return jsonschema_rs.Draft202012Validator(
            {**schema, "components": {"schemas": self._components["schemas"]}}, validate_formats=True
        )


def _closed(components: Schema) -> Schema:
    """Return the components with `additionalProperties: false` in every schema that lists its properties."""
    return {
        **components,
        "schemas": {
            name: {"additionalProperties": False, **schema} if "properties" in schema else schema
            for name, schema in components["schemas"].items()
        },
    }


def _errors(validator: Any, body: bytes) -> list[str]:
    try:
        value = json.loads(body)
    except ValueError:
        return [f"the body is no JSON: {body[:100]!r}"]
    if validator.is_valid(value):
        return []
    return [
        f"{'.'.join(map(str, error.instance_path)) or 'the body'}: {error.message[:300]}"
        for error in validator.iter_errors(value)
    ][:3]


def _content_type(seen: Answered) -> str:
    headers = {name.lower(): value for name, value in seen.headers.items()}
    return headers.get("content-type", "").partition(";")[0].strip()


def _code(seen: Answered) -> str | None:
    try:
        body = json.loads(seen.body)
    except ValueError:
        return None
    return body.get("code") if isinstance(body, dict) else None


# --- where answers are checked -----------------------------------------------------------------------------


_by_server: dict[str, Operations] = {}
"""Servers with a document of their own, by host and port."""


@functools.cache
def operations() -> Operations:
    return Operations(json.loads((ROOT / "docs" / "openapi.json").read_text()))


def use_own_document(url: str) -> None:
    """Compare the responses of the server at this URL with its own openapi.json from now on."""
    _by_server[httpx.URL(url).netloc.decode()] = Operations(
        httpx.get(f"{url}/openapi.json", timeout=30).raise_for_status().json()
    )


@functools.lru_cache(maxsize=4)
def _of_sandbox(app: flask.Flask) -> Operations | None:
    """Return the operations of an application in this process that has the routes of a sandbox; None for any other."""
    # The product is imported here, because tests import this module before they set the environment.
    from weelo_api.openapi import document

    has_routes = any(rule.rule.startswith("/api/v1/sandbox/") for rule in app.url_map.iter_rules())
    return Operations(document(app)) if has_routes else None


def check(seen: Answered) -> None:
    """Record how this response differs from the document. Responses that the API did not send are ignored."""
    headers = {name.lower() for name in seen.headers}
    if not {"x-content-type-options", "referrer-policy"} <= headers:
        return
    for deviation in (seen.described_by or operations()).deviations(seen):
        deviations.record(f"{seen.method} {seen.target} {seen.status}: {deviation}; {seen.body[:300]!r}")


_FIRST_LINE = re.compile(rb"(?:^|\r\n)([A-Z]+) (\S+) HTTP/1\.1\r\n")


def _plain(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a body, decompressed if it is compressed. httpx decompresses; Flask's test client and raw sockets do not."""
    coding = next(
        (value for name, value in headers.items() if name.lower() == "content-encoding"), "identity"
    )
    return gzip.decompress(body) if coding == "gzip" and body else body


def check_raw(
    sent: bytes, answers: Sequence[tuple[int, Mapping[str, str], bytes]], server: str | None = None
) -> None:
    """Check responses to requests that were sent as bytes. `server`: its host and port.

    If the bytes do not show which response belongs to which request, only the form of errors is checked.
    """
    lines = _FIRST_LINE.findall(sent)
    targets = [(m.decode(), t.decode("latin-1")) for m, t in lines] if len(lines) == len(answers) else []
    for number, (status, headers, body) in enumerate(answers):
        method, target = targets[number] if targets else ("GET", None)
        check(Answered(method, target, status, headers, _plain(body, headers), _by_server.get(server or "")))


def install() -> None:
    """Check every response that httpx and Flask's test client return in this process from now on."""
    httpx.Client.send = _checking_httpx(httpx.Client.send)  # type: ignore[method-assign]
    flask.testing.FlaskClient.open = _checking_flask(flask.testing.FlaskClient.open)  # type: ignore[method-assign]


def _checking_httpx(send: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    @functools.wraps(send)
    def sending(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        response = send(self, request, **options)
        if not options.get("stream"):
            for each in (*response.history, response):
                url = each.request.url
                check(
                    Answered(
                        each.request.method,
                        url.raw_path.decode("ascii", "replace"),
                        each.status_code,
                        each.headers,
                        each.content,
                        _by_server.get(url.netloc.decode("ascii", "replace")),
                    )
                )
        return response

    return sending


def _checking_flask(open_: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(open_)
    def opening(self: flask.testing.FlaskClient, *args: Any, **options: Any) -> Any:
        response = open_(self, *args, **options)
        if self.application.name == "weelo_api":
            environ = response.request.environ
            as_sent = options.get("environ_overrides", {})
            target = as_sent.get("RAW_URI", as_sent.get("PATH_INFO", environ["RAW_URI"]))
            check(
                Answered(
                    environ["REQUEST_METHOD"],
                    target,
                    response.status_code,
                    dict(response.headers),
                    _plain(response.data, response.headers),
                    _of_sandbox(self.application),
                )
            )
        return response

    return opening

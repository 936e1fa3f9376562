"""Builds the OpenAPI document."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from flask import Flask
from pydantic import BaseModel

from weelo_api.http.access import SOCKET
from weelo_api.http.declared import JSON, Answer
from weelo_api.openapi import links
from weelo_api.openapi.answers import outcomes, rejections
from weelo_api.openapi.examples import BODIES, PARAMETERS
from weelo_api.openapi.headers import ALWAYS, ANSWER_HEADERS, REQUEST_HEADERS
from weelo_api.openapi.problems import CONTENT_TYPE, Problem, example
from weelo_api.openapi.routes import VIEWS, Route, routes
from weelo_api.openapi.schemas import Components, parameters
from weelo_api.views.common import Accepted, AcceptedAgain
from weelo_workers import __version__
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.rejections import Code
from weelo_workers.settings import settings

RESULT = "CommandResult"

_DESCRIPTION = """\
Dispatch of trucks: customers request trucks, transporters accept, drivers drive.

Every request under `/api/v1` needs `Authorization: Bearer <token>`. Writes are commands: the answer is 202, or the
outcome with `Prefer: wait=N`. The socket at `/api/v1/ws` is described in `/asyncapi.json`.

Errors are `application/problem+json` with a stable `code`. A path that is not described here is answered with 404
`NOT_FOUND`, another method with 405 `METHOD_NOT_ALLOWED` and the header `Allow`. A request that is not valid HTTP is
answered with 400, 414, 417, 431, 501 or 505 and the code `VALIDATION_ERROR`.
"""

_DESCRIPTION_OF_SANDBOX = _DESCRIPTION.replace(
    "Every request under `/api/v1` needs `Authorization: Bearer <token>`.",
    """\
This server is a sandbox. Requests under `/api/v1/sandbox` need no token, and `POST /api/v1/sandbox/tokens` returns one
for any role. Every other request under `/api/v1` needs `Authorization: Bearer <token>`.""",
)

_ID = {"type": "string", "format": "uuid"}
_REFINEMENTS: dict[str, dict[str, Any]] = {
    "Acceptance": {
        "if": {"required": ["trucks"], "properties": {"trucks": {"type": "array"}}},
        "then": {"properties": {"vehicleId": {"type": "null"}, "driverId": {"type": "null"}}},
        "else": {
            "required": ["vehicleId", "driverId"],
            "properties": {"vehicleId": _ID, "driverId": _ID},
        },
    },
    "Replacement": {
        "if": {"required": ["driverId"], "properties": {"driverId": _ID}},
        "else": {"required": ["vehicleId"], "properties": {"vehicleId": _ID}},
    },
}
"""Rules of validators that pydantic does not describe, by the names of the schemas.

They use `if`, because generators of clients ignore it. From `anyOf` or `oneOf`, generators make a union type. Some of
them then fail because of the fields beside the union, or omit these fields.
"""


def build(app: Flask) -> dict[str, Any]:
    """Return the document of all described routes of this application."""
    return _Builder(list(routes(app))).document()


class _Builder:
    def __init__(self, described: list[Route]) -> None:
        self._routes = described
        self._results = {
            answer.model
            for route in described
            if route.is_command
            for answer in route.answers
            if answer.model
        } - {Accepted}
        answers = {answer.model for route in described for answer in outcomes(route) if answer.model}
        self._components = Components(
            requests={route.body for route in described if route.body},
            answers=answers | self._results | {Accepted, AcceptedAgain, CommandOutcome, Problem},
        )
        self._shared: dict[str, Any] = {}
        self._headers: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for route in self._routes:
            paths.setdefault(route.address, {})[route.method.lower()] = self._operation(route)
        schemas = self._schemas()
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Weelo",
                "version": __version__,
                "summary": "The HTTP API for customers, transporters, drivers and operators",
                "description": _DESCRIPTION_OF_SANDBOX if settings().is_sandbox else _DESCRIPTION,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/", "description": "this server"}],
            "tags": self._tags(),
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": dict(sorted(self._shared.items())),
                "parameters": {each.name: _request_header(each) for each in REQUEST_HEADERS},
                "headers": dict(sorted(self._headers.items())),
                "examples": {code.name: example(code) for code in Code},
                "links": links.components(),
                "securitySchemes": {
                    "jwt": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "JWT",
                        "description": "A token with the claims `sub`, `role` and `exp`.",
                    }
                },
            },
        }

    def _tags(self) -> list[dict[str, str]]:
        return [
            {"name": tag, "description": _first_line(sys.modules[f"{VIEWS}.{tag}"].__doc__)}
            for tag in sorted({route.tag for route in self._routes})
        ]

    def _schemas(self) -> dict[str, Any]:
        schemas = self._components.schemas
        results = [
            self._components.answer(model) for model in sorted(self._results, key=lambda m: m.__name__)
        ]
        schemas[RESULT] = {
            "description": "The result of a command: one of these objects, depending on the command.",
            "anyOf": results,
        }
        for model in (CommandOutcome, AcceptedAgain):
            outcome = schemas[model.__name__]["properties"]
            for name, shape in (
                ("result", {"$ref": f"#/components/schemas/{RESULT}"}),
                ("error", self._components.answer(Problem)),
            ):
                outcome[name] = {**shape, "description": outcome[name]["description"]}
        for name, refinement in _REFINEMENTS.items():
            schemas[name] |= refinement
        return dict(sorted(schemas.items()))

    # --- operations -------------------------------------------------------------------------------------

    def _operation(self, route: Route) -> dict[str, Any]:
        summary, _, rest = inspect.cleandoc(route.view.__doc__ or "").partition("\n")
        for_roles = f"For: {', '.join(sorted(route.roles))}." if route.roles else ""
        operation: dict[str, Any] = {
            "operationId": route.operation_id,
            "tags": [route.tag],
            "summary": summary.strip().removesuffix("."),
            "description": "\n\n".join(part for part in (rest.strip(), for_roles) if part),
            "security": _security(route),
            "x-roles": sorted(route.roles),
            "parameters": self._parameters(route),
            "responses": self._responses(route),
        }
        if route.body is not None:
            examples = {name: {"value": value} for name, value in BODIES.get(route.body, {}).items()}
            content = {"schema": self._components.request(route.body), "examples": examples}
            operation["requestBody"] = {
                "required": not _may_be_left_out(route.body),
                # If BODIES has no examples, `examples` is left out. This is so for the bodies of the sandbox, whose
                # schemas contain the examples.
                "content": {JSON: {name: value for name, value in content.items() if value}},
            }
        return {
            name: value for name, value in operation.items() if value != "" and (value or name == "security")
        }

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for place, model in (("path", route.path), ("query", route.query)):
            for name, schema in parameters(model).items() if model else ():
                field = dict(schema)
                parameter = {
                    "name": name,
                    "in": place,
                    "description": field.pop("description", ""),
                    "schema": field,
                }
                if place == "path":
                    parameter |= {"required": True, "example": PARAMETERS[name]}
                found.append({key: value for key, value in parameter.items() if value != ""})
        found += [
            {"$ref": f"#/components/parameters/{each.name}"}
            for each in REQUEST_HEADERS
            if each.applies(route)
        ]
        return found

    # --- responses --------------------------------------------------------------------------------------

    def _responses(self, route: Route) -> dict[str, Any]:
        found = {str(answer.status): self._outcome(route, answer) for answer in outcomes(route)}
        for status, codes in rejections(route).items():
            if str(status) in found:
                raise TypeError(f"{route.endpoint}: {status} is declared as an answer and as {codes}")
            found[str(status)] = self._rejection(route, status, codes)
        return dict(sorted(found.items()))

    def _outcome(self, route: Route, answer: Answer) -> dict[str, Any]:
        response: dict[str, Any] = {
            "description": answer.description or _first_line(route.view.__doc__),
            "headers": self._headers_of(route, answer.status),
            "links": links.of(answer),
        }
        if answer.model is Accepted:
            again = self._components.answer(AcceptedAgain)
            response["content"] = {JSON: {"schema": {"anyOf": [again, self._components.answer(Accepted)]}}}
        elif answer.model is not None:
            response["content"] = {JSON: {"schema": self._components.answer(answer.model)}}
        elif answer.content_type == JSON and answer.status != 204:
            response["content"] = {JSON: {"schema": {"type": "object"}}}
        elif answer.content_type is not None and answer.content_type != JSON:
            response["content"] = {answer.content_type: {"schema": {"type": "string"}}}
        return {name: value for name, value in response.items() if value}

    def _rejection(self, route: Route, status: int, codes: list[Code]) -> dict[str, Any]:
        """Return a reference to a response that all routes with the same codes and headers share."""
        names = [code.name for code in codes]
        response: dict[str, Any] = {
            "description": "\n".join(f"- `{code.name}`: {code.title}" for code in codes),
            "headers": self._headers_of(route, status),
            "content": {
                CONTENT_TYPE: {
                    "schema": {
                        "allOf": [self._components.answer(Problem)],
                        "properties": {"status": {"const": status}, "code": {"enum": names}},
                    },
                    "examples": {name: {"$ref": f"#/components/examples/{name}"} for name in names},
                }
            },
        }
        if not response["headers"]:
            del response["headers"]
        stem = f"{status}.{'.'.join(names)}" if len(names) <= 2 else f"{status}.{route.operation_id}"
        if "Location" in response.get("headers", {}):
            stem += ".outcome"
        for name, other in self._shared.items():
            if other == response:
                return {"$ref": f"#/components/responses/{name}"}
        number = sum(name == stem or name.startswith(f"{stem}-") for name in self._shared)
        name = f"{stem}-{number + 1}" if number else stem
        self._shared[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def _headers_of(self, route: Route, status: int) -> dict[str, Any]:
        """Return references to the headers of a response.

        A header can have two components: one for responses that always have it, one for those that sometimes have it.
        """
        found = {}
        for each in ANSWER_HEADERS:
            if (when := each.when(route, status)) is None:
                continue
            header: dict[str, Any] = {"description": each.description, "schema": each.schema}
            name = each.name
            if when == ALWAYS:
                name += ".required"
                header["required"] = True
            self._headers[name] = header
            found[each.name] = {"$ref": f"#/components/headers/{name}"}
        return found


def _request_header(each: Any) -> dict[str, Any]:
    return {
        "name": each.name,
        "in": "header",
        "description": each.description,
        "schema": each.schema,
        "example": each.example,
    }


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.endpoint == SOCKET:
        # Optional, because the token may be in the first frame instead of the header.
        return [{"jwt": []}, {}]
    return [{"jwt": []}] if route.roles else []


def _may_be_left_out(model: type[BaseModel]) -> bool:
    """Return whether requests may have an empty body, which is read as `{}`. They may if no field is required."""
    return (
        not any(field.is_required() for field in model.model_fields.values())
        and model.__name__ not in _REFINEMENTS
    )


def _first_line(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n")[0]

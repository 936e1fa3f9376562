"""The JSON Schemas (draft 7, as AsyncAPI prescribes) of what the server sends and of what clients may send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from weelo_workers.contracts.broadcasts import BroadcastView
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.outcomes import CommandSettled
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.results import RESULTS

REF = "#/components/schemas/{model}"
PROBLEM = REF.format(model="Problem")

SENT: Literal["serialization"] = "serialization"
RECEIVED: Literal["validation"] = "validation"

Schemas = dict[str, dict[str, Any]]


class _Generator(GenerateJsonSchema):
    """Generates schemas without titles. In what the server sends every field is required, because none is left out."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return self.mode == SENT or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic passes it)
        return False


def schemas_of(sent: Iterable[type[BaseModel]], received: Iterable[type[BaseModel]]) -> Schemas:
    """Return the schemas of these models and of all models in them, by name.

    `sent`: models that the server sends. Their schemas allow further fields, which later versions may add.
    `received`: models that clients send. Unknown fields are refused.
    """
    sent, received = [*sent, *RESULTS.values()], list(received)
    asked: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, SENT) for model in dict.fromkeys(sent)),
        *((model, RECEIVED) for model in received),
    ]
    _, generated = models_json_schema(asked, by_alias=True, ref_template=REF, schema_generator=_Generator)
    schemas: Schemas = {name: _draft_7(schema) for name, schema in generated["$defs"].items()}
    for name in schemas.keys() - {model.__name__ for model in received}:
        schemas[name].pop("additionalProperties", None)
        for field in schemas[name].get("properties", {}).values():
            field.pop("default", None)
    for model in sent:
        if issubclass(model, AboutBroadcast | BroadcastView):
            _with_id_by_kind(schemas[model.__name__])
    if CommandSettled in sent:
        _either_result_or_error(schemas[CommandSettled.__name__])
    return {**schemas, "Problem": _problem()}


def reference(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": REF.format(model=model.__name__)}


def _draft_7(schema: Any) -> Any:
    """Return the schema with each `$ref` inside an `allOf`, because draft 7 ignores keywords beside `$ref`."""
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: _draft_7(value) for name, value in schema.items()}
    if isinstance(schema.get("$ref"), str) and len(schema) > 1:
        return {"allOf": [{"$ref": schema.pop("$ref")}], **schema}
    return schema


def _with_id_by_kind(schema: dict[str, Any]) -> None:
    """Require `bookingId` for a booking and `orderId` for an order, and forbid the other, which is not sent then."""
    for name in ("bookingId", "orderId"):
        field = schema["properties"][name]
        if "anyOf" in field:  # the absent id is null in the model, and is left out of what the server sends
            [kind] = [each for each in field.pop("anyOf") if each != {"type": "null"}]
            field.update(kind)
    schema["required"] = [name for name in schema["required"] if name not in ("bookingId", "orderId")]
    schema["if"] = {"properties": {"kind": {"const": "booking"}}}
    schema["then"] = {"required": ["bookingId"], "properties": {"orderId": False}}
    schema["else"] = {"required": ["orderId"], "properties": {"bookingId": False}}


def _either_result_or_error(schema: dict[str, Any]) -> None:
    """Require that a succeeded outcome has the result of its command, and that a rejected one has an error."""
    results = dict.fromkeys(RESULTS.values())
    properties = schema["properties"]
    properties["command"] |= {"enum": sorted(command.name for command in RESULTS)}
    properties["httpStatus"] = {
        "type": "integer",
        "description": "The HTTP status with which the API answers a request that waits for this outcome.",
    }
    properties["settledAt"] = {
        "type": "string",
        "format": "date-time",
        "description": "When the outcome was committed.",
    }
    properties["result"] = {
        "description": "What the command returns. Present only if `status` is `succeeded`.",
        "anyOf": [reference(model) for model in results],
    }
    properties["error"] = {
        "description": "Why the command was rejected. Present only if `status` is `rejected`.",
        "allOf": [{"$ref": PROBLEM}],
    }
    schema["required"] = [name for name in schema["required"] if name not in ("result", "error")]
    schema["if"] = {"properties": {"status": {"const": "succeeded"}}}
    schema["then"] = {"required": ["result"], "properties": {"error": False}}
    schema["else"] = {"required": ["error"], "properties": {"result": False}}
    schema["allOf"] = [
        {
            "if": {
                "properties": {
                    "status": {"const": "succeeded"},
                    "command": {"enum": sorted(each.name for each in RESULTS if RESULTS[each] is model)},
                }
            },
            "then": {"properties": {"result": reference(model)}},
        }
        for model in results
    ]


def _problem() -> dict[str, Any]:
    """Return the schema of a rejection (RFC 9457), as `problem_body` makes it."""
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "Why a command was rejected (RFC 9457). Some codes have further fields, such as `remaining`.",
        "properties": {
            "type": {**text, "description": "Names the code as a URI."},
            "title": {
                **text,
                "description": "A short text for people, the same for every problem of a code.",
            },
            "status": {"type": "integer", "description": "The HTTP status of the code."},
            "detail": {**text, "description": "What the caller can do."},
            "code": {
                **text,
                "enum": [code.name for code in Code if any(code in command.rejects for command in RESULTS)],
                "description": "The stable code.",
            },
            "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        },
        "required": ["type", "title", "status", "detail", "code", "retryable"],
        "additionalProperties": True,
    }

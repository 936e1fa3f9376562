"""Makes sample values for a JSON schema, and for a type annotation of the client."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

ID = str(UUID(int=7))
TIME = "2026-02-19T10:00:00.000Z"
TEXT = "any text"
BY_FORMAT = {"uuid": ID, "date-time": TIME, "uri": "https://example.com/"}
BY_NAME = {
    "vehicle_number": "HR26AB1234",
    "phone": "+91 98100 00000",
    "occurred_at": TIME,
    "recorded_at": TIME,
    "start": TIME,
    "end": TIME,
    "url": "https://example.com/events",
    "events": ["*"],
    "vehicle_types": ["open"],
}


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return the node; if it is a reference, the node to which the reference leads."""
    while "$ref" in node:
        found: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def of_schema(document: dict[str, Any], schema: dict[str, Any]) -> Any:  # noqa: PLR0911 (one for each kind)
    """Return a value that the schema allows. Objects have all properties that the schema names."""
    schema = resolved(document, schema)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            return of_schema(document, schema[keyword][0])
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:
        case "array":
            return [of_schema(document, schema.get("items", {}))]
        case "string":
            return schema.get("examples", [BY_FORMAT.get(schema.get("format", ""), TEXT)])[0]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            properties = schema.get("properties", {})
            return {name: of_schema(document, each) for name, each in properties.items()}


def of_annotation(name: str, annotation: Any) -> Any:  # noqa: PLR0911 (one for each kind)
    """Return an argument for a parameter of this name and type. Optional fields of a TypedDict are present."""
    if name in BY_NAME:
        return BY_NAME[name]
    if is_typeddict(annotation):
        fields = get_type_hints(annotation)
        return {field: of_annotation(field, each) for field, each in fields.items()}
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is NotRequired:
        return of_annotation(name, inner[0])
    if origin is Literal:
        return inner[0]
    if annotation in (int, float, bool):
        return annotation(1)
    if annotation is str:
        return ID if name.lower().endswith("id") else TEXT
    if origin is None:
        raise TypeError(f"no sample for {name}: {annotation}")
    if inner and (origin is list or origin.__module__ == "collections.abc"):
        return [of_annotation("", inner[0])]
    return of_annotation(name, inner[0])  # a value of the union's first type

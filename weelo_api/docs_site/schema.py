"""Reads JSON schemas for display: one line for each field, with the fields below it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object. `kind`: its type in words. `below`: the fields of the object, or of the items of the list."""

    name: str
    kind: str
    required: bool
    description: str
    below: tuple[Field, ...] = ()


def resolve(document: Document, node: Any) -> Any:
    """Return the node, or what it refers to by `$ref`. Raises KeyError if a reference leads nowhere."""
    while isinstance(node, Mapping) and isinstance(node.get("$ref"), str):
        found: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def fields(document: Document, schema: Schema, *, within: tuple[str, ...] = ()) -> tuple[Field, ...]:
    """Return the fields of an object, or of the items of a list.

    `within`: the references that led to this schema. They are not followed again, so the recursion ends.
    """
    if (reference := schema.get("$ref")) is not None:
        if reference in within:
            return ()
        within = (*within, reference)
    found = resolve(document, schema)
    # In a schema with `properties`, `anyOf`, `oneOf` and `allOf` add no fields. They only restrict which fields may
    # occur together.
    if "properties" not in found and (choices := _alternatives(found)):
        return _choices(document, choices, within)
    if "items" in found:
        return fields(document, found["items"], within=within)
    required = found.get("required", ())
    return tuple(
        Field(
            name,
            _kind(document, part),
            name in required,
            str(part.get("description") or resolve(document, part).get("description") or ""),
            fields(document, part, within=within),
        )
        for name, part in found.get("properties", {}).items()
    )


def _alternatives(schema: Schema) -> Sequence[Schema]:
    found: Sequence[Schema] = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or ()
    return found


def _choices(document: Document, choices: Sequence[Schema], within: tuple[str, ...]) -> tuple[Field, ...]:
    """Return the fields of a value that has one of several schemas, which are its choices.

    If only one choice has fields, these fields are returned, else one entry for each choice that has fields.
    """
    found = [(each, below) for each in choices if (below := fields(document, each, within=within))]
    if len(found) <= 1:
        return found[0][1] if found else ()
    return tuple(
        Field(
            str(each.get("$ref", "")).rpartition("/")[2] or str(each.get("title", "object")),
            "one of the possible objects",
            True,
            str(resolve(document, each).get("description", "")),
            below,
        )
        for each, below in found
    )


def _kind(document: Document, schema: Schema) -> str:
    """Return the type in words, such as `text (uuid)`, `list of object` or `"booking" or "order"`."""
    found = resolve(document, schema)
    if "const" in found:
        return json.dumps(found["const"])
    if "enum" in found:
        values = [json.dumps(value) for value in found["enum"]]
        return " or ".join(values) if len(values) <= 3 else f"one of {', '.join(values)}"
    if "properties" not in found and (choices := _alternatives(found)):
        return " or ".join(dict.fromkeys(_kind(document, choice) for choice in choices))
    kinds = found.get("type", "object" if "properties" in found else "any value")
    if isinstance(kinds, list):
        return " or ".join(_word(kind) for kind in kinds)
    if kinds == "array":
        return f"list of {_kind(document, found.get('items', {}))}"
    return _word(kinds) + _limits(found)


def _word(kind: str) -> str:
    return {"string": "text", "boolean": "true or false"}.get(kind, kind)


def _limits(schema: Schema) -> str:
    limits = [str(schema["format"])] if "format" in schema else []
    limits += [f"{text} {schema[name]}" for name, text in _LIMITS.items() if name in schema]
    return f" ({', '.join(limits)})" if limits else ""


_LIMITS = {
    "minimum": "from",
    "exclusiveMinimum": "more than",
    "maximum": "up to",
    "exclusiveMaximum": "less than",
    "minLength": "at least this many characters:",
    "maxLength": "at most this many characters:",
}

"""JSON Schemas of models whose serializers leave out or add fields. By default pydantic describes such models as untyped objects."""

from __future__ import annotations

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


def schema_without_serializer(
    core_schema: CoreSchema, handler: GetJsonSchemaHandler, *, optional: tuple[str, ...] = ()
) -> JsonSchemaValue:
    """Return the schema of a model as if it had no serializer of its own.

    `optional`: the names, in JSON, of fields that the serializer leaves out instead of sending null.
    """
    schema = handler({name: value for name, value in core_schema.items() if name != "serialization"})
    model = handler.resolve_ref_schema(schema)
    for name in optional:
        field = model["properties"][name]
        field.pop("default", None)
        present = [each for each in field.pop("anyOf", []) if each != {"type": "null"}]
        if len(present) > 1:
            field["anyOf"] = present
        elif present:
            field.update(present[0])
    if "required" in model:
        model["required"] = [name for name in model["required"] if name not in optional]
    return schema

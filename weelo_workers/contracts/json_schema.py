"""The JSON Schema of the API's values. The documents `/openapi.json` and `/asyncapi.json` consist of these schemas."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Self, cast

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_ANNOTATIONS = ("description", "examples")


class DescribedEnum(StrEnum):
    """Base of enumerations that apps read. Each member has a value and the meaning of this value.

    The schema lists both: `FIRST = "first", "The first of all."`.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        values = "\n".join(f"- `{member.value}`: {member.meaning}" for member in cls)
        handler.resolve_ref_schema(schema)["description"] = (
            f"{(cls.__doc__ or '').strip()}\n\n{values}".strip()
        )
        return schema


def model_schema(
    core_schema: CoreSchema, handler: GetJsonSchemaHandler, may_be_absent: Collection[str] = ()
) -> JsonSchemaValue:
    """Return the tidied schema of a model, as if it had no serializer of its own.

    With the serializer, pydantic would describe the model's JSON as an untyped object. The serializers of the API's
    models only leave out fields. `may_be_absent`: the names of these fields in JSON.
    """
    schema = handler(
        cast(CoreSchema, {name: part for name, part in core_schema.items() if name != "serialization"})
    )
    tidy(handler.resolve_ref_schema(schema), may_be_absent)
    return schema


def tidy(schema: JsonSchemaValue, may_be_absent: Collection[str] = ()) -> JsonSchemaValue:
    """Change the schema of a model in place, and return it.

    - The fields that `may_be_absent` are not required.
    - No field has `default: null`: a field that may be left out is not required, and generators of clients would read
      a default as a value that is always there.
    - No field has a title, because pydantic only repeats the field's name in it.
    - The description and examples of a nullable field are at the field, where tools show them, and not inside of `anyOf`.
    """
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
        if field.get("default", ...) is None:
            del field["default"]
        for choice in field.get("anyOf", ()):
            _move_up(choice, field)
    required = [name for name in schema.pop("required", ()) if name not in may_be_absent]
    if required:
        schema["required"] = required
    return schema


def _move_up(choice: dict[str, Any], field: dict[str, Any]) -> None:
    if "$ref" in choice:
        return
    for name in _ANNOTATIONS:
        if name in choice:
            value = choice.pop(name)
            field.setdefault(name, value)

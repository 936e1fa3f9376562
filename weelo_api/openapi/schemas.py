"""JSON Schemas of the models, as components of the document."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

REF = "#/components/schemas/{model}"
Key = tuple[type[BaseModel], JsonSchemaMode]


class Schemas(GenerateJsonSchema):
    """Generates schemas without titles. In responses every field is required, because the server sends all of them.

    A default of null is left out of the schema, because generators of clients make a field with a default required. A
    request need not contain such a field.
    """

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if self.mode == "serialization" or schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def normalize_name(self, name: str) -> str:
        """Return `PageOfOfferView` for `PageOf[OfferView]`, so that generated clients can use the name for a type."""
        return re.sub(r"\W", "", name)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic passes it)
        return False


class Components:
    """The schemas of all models that the document names."""

    def __init__(self, requests: Collection[type[BaseModel]], answers: Collection[type[BaseModel]]) -> None:
        """Generate the schemas. `requests`: models of bodies. `answers`: models of responses."""
        keys: list[Key] = [(model, "validation") for model in _ordered(requests)]
        keys += [(model, "serialization") for model in _ordered(answers)]
        self._places, definitions = models_json_schema(
            keys, by_alias=True, ref_template=REF, schema_generator=Schemas
        )
        self.schemas: dict[str, Any] = {
            name: _without_title(schema) for name, schema in sorted(definitions.get("$defs", {}).items())
        }

    def request(self, model: type[BaseModel]) -> dict[str, Any]:
        """Return a reference to the schema of a body."""
        return self._places[model, "validation"]

    def answer(self, model: type[BaseModel]) -> dict[str, Any]:
        """Return a reference to the schema of a response."""
        return self._places[model, "serialization"]


def parameters(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of the fields of a path or a query string, by name. A parameter cannot be null."""
    schema = model.model_json_schema(by_alias=True, schema_generator=Schemas)
    definitions = schema.get("$defs", {})
    return {
        name: _inlined(_not_null(field), definitions) for name, field in schema.get("properties", {}).items()
    }


def _inlined(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the field with its definition in place of the reference.

    Parameters are outside of the schema that contains the definitions.
    """
    name = field.get("$ref", "").rpartition("/")[2]
    rest = {key: value for key, value in field.items() if key != "$ref"}
    return {**_without_title(definitions.get(name, {})), **rest}


def _not_null(field: dict[str, Any]) -> dict[str, Any]:
    present = [each for each in field.get("anyOf", []) if each != {"type": "null"}]
    if len(present) != 1:
        return field
    return {**{name: value for name, value in field.items() if name != "anyOf"}, **present[0]}


def _without_title(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "title"}


def _ordered(models: Collection[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)

"""Every field that an app sends or receives is described: what it means, its format, and an example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from importlib import import_module
from typing import Annotated, Any, Literal, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter

from tests.architecture.api import app, openapi, operations
from tests.support.sources import import_all_contracts
from weelo_api.openapi.problems import Problem
from weelo_api.views.common import Parameters
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.json_schema import DescribedEnum
from weelo_workers.contracts.wire import Request, Wire
from weelo_workers.notifications.catalog import CATALOG

import_all_contracts()
app()  # imports every view and the frames of the socket, so that all models are known
import_module(
    "weelo_api.sandbox.shapes"
)  # the models of the sandbox's routes, which an ordinary API does not import

MODES: tuple[Literal["validation", "serialization"], ...] = ("validation", "serialization")
LONGEST = 300  # longer texts are hard to read beside a field


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for each in base.__subclasses__():
        yield each
        yield from _below(each)


@lru_cache
def models() -> dict[str, type[BaseModel]]:
    """Return, by name, the models of requests, responses, events, frames, paths and query strings."""
    every: set[type[BaseModel]] = {Problem, *_below(Wire), *_below(Parameters)}
    return {
        each.__name__: each
        for each in sorted(every, key=lambda model: model.__name__)
        if each.__module__.startswith("weelo_") and "[" not in each.__name__ and each.model_fields
    }


def enums() -> list[type[StrEnum]]:
    return sorted(_below(DescribedEnum), key=lambda each: each.__name__)


@lru_cache
def _schema(name: str, mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
    return models()[name].model_json_schema(by_alias=True, mode=mode)


def shapes(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, schema) of each field of a model: once as the API receives it, and once as the API sends it.

    Each schema has all definitions of the model (`$defs`), to which its references lead.
    """
    for mode in MODES:
        schema = _schema(name, mode)
        for field, shape in schema["properties"].items():
            yield field, {**shape, "$defs": schema.get("$defs", {})}


def choices(shape: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the types that the field may have besides null."""
    return [each for each in shape.get("anyOf", [shape]) if each != {"type": "null"}]


def _is_free(choice: dict[str, Any]) -> bool:
    """Return whether the type is a text or a number without a list of allowed values."""
    return choice.get("type") in ("string", "integer", "number") and not {"enum", "const"} & set(choice)


EACH_MODEL = pytest.mark.parametrize("name", list(models()))


def test_the_models_are_found() -> None:
    assert len(models()) > 60
    assert {"NewBooking", "BroadcastView", "CommandSettled", "PageOf", "Paging", "Ack", "Problem"} <= set(
        models()
    )


@EACH_MODEL
def test_a_model_and_each_of_its_fields_have_a_description(name: str) -> None:
    assert _schema(name).get("description"), f"{name} needs a docstring"
    for field, shape in shapes(name):
        description = shape.get("description", "")
        assert description, f"{name}.{field}: write what it means in the line below the field"
        assert len(description) <= LONGEST, f"{name}.{field}"
        assert description[0].isupper() or description[0] == "`", f"{name}.{field}"
        assert description.endswith("."), f"{name}.{field}"


@EACH_MODEL
def test_a_field_that_may_be_left_out_has_no_default_of_null(name: str) -> None:
    for field, shape in shapes(name):
        assert shape.get("default", ...) is not None, f"{name}.{field}"


@EACH_MODEL
def test_a_field_is_always_sent_unless_it_is_known_to_be_absent(name: str) -> None:
    model = models()[name]
    if not issubclass(model, Wire):
        return
    schema = _schema(name, "serialization")
    known = model.may_be_absent | ({"bookingId", "orderId"} if issubclass(model, AboutBroadcast) else set())
    assert known <= set(schema["properties"])
    assert set(schema["properties"]) - set(schema.get("required", ())) == known


@EACH_MODEL
def test_a_text_or_number_has_an_example_and_every_example_is_valid(name: str) -> None:
    for field, shape in shapes(name):
        examples = shape.get("examples", [])
        needs_one = "default" not in shape and any(_is_free(choice) for choice in choices(shape))
        if needs_one and issubclass(models()[name], (Wire, Problem)):
            assert examples, f"{name}.{field} needs an example"
        for example in examples:
            Draft202012Validator(shape, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)


@EACH_MODEL
def test_ids_and_times_have_their_format(name: str) -> None:
    for field, shape in shapes(name):
        formats = {choice.get("format") for choice in choices(shape)}
        if field == "at" or re.search("(At|Time)$", field):
            assert formats == {"date-time"}, f"{name}.{field}"
        if field == "id" or field.endswith("Id"):
            assert formats == {"uuid"}, f"{name}.{field}"


@EACH_MODEL
def test_a_distance_leaves_the_server_with_two_decimals(name: str) -> None:
    model = models()[name]
    if issubclass(model, Request):
        return
    for field, info in model.model_fields.items():
        if field.endswith("km"):
            kind: Any = Annotated[info.annotation, Field(), *info.metadata]
            distance: TypeAdapter[Any] = TypeAdapter(kind)
            assert distance.dump_python(4.269_999_9, mode="json") == 4.27, f"{name}.{field}"


def test_every_field_and_parameter_of_the_document_has_a_description() -> None:
    document = openapi()
    without = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, shape in schema.get("properties", {}).items()
        if not shape.get("description")
    ]
    parameters = [
        *document["components"].get("parameters", {}).values(),
        *(each for _, operation in operations() for each in operation.get("parameters", [])),
    ]
    without += [each["name"] for each in parameters if "$ref" not in each and not each.get("description")]
    assert without == []


# --- words ------------------------------------------------------------------------------------------------


@lru_cache
def _names_in_json() -> frozenset[str]:
    """Return the names that an app sees: fields, values of enumerations, events and frames, parts of paths."""
    found = {field for name in models() for field, _ in shapes(name)}
    found |= {member.value for each in enums() for member in each}
    found |= {route.name for route in CATALOG.values()}
    for model in models().values():
        for info in model.model_fields.values():
            found |= {value for value in get_args(info.annotation) if isinstance(value, str)}
    found |= {"connected", "pong", "resync_required", "location_updated", "error"}
    found |= {part for rule in app().url_map.iter_rules() for part in rule.rule.split("/")}
    return frozenset(found | {"Bearer", "offer", "role", "default"})


def _texts(name: str) -> dict[str, str]:
    """Return the descriptions of a model and of its fields."""
    fields = {f"{name}.{field}": shape.get("description", "") for field, shape in shapes(name)}
    return {name: _schema(name).get("description", ""), **fields}


def _check_words(what: str, text: str) -> None:
    assert not set(re.findall(r"`(\w+)`", text)) - _names_in_json(), f"{what}: apps know no such name"
    assert not set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)) - _names_in_json(), (
        f"{what} has a name of Python"
    )
    assert not re.findall(r"\b(?!WebSocket)[A-Z][a-z]+[A-Z]\w*", text), f"{what} names a class"


@EACH_MODEL
def test_a_description_uses_the_names_of_json(name: str) -> None:
    """A description contains no names from Python: neither `snake_case` nor names of classes."""
    for what, text in _texts(name).items():
        _check_words(what, text)


@pytest.mark.parametrize("enum", enums(), ids=lambda each: each.__name__)
def test_every_value_of_an_enumeration_is_explained(enum: type[DescribedEnum]) -> None:
    class Sample(Wire):
        value: enum  # type: ignore[valid-type]

    _check_words(enum.__name__, enum.__doc__ or "")
    [definition] = Sample.model_json_schema()["$defs"].values()
    assert definition["enum"] == [member.value for member in enum]
    for member in enum:
        assert f"- `{member.value}`: {member.meaning}" in definition["description"]
        assert member.meaning.endswith(".")
        _check_words(f"{enum.__name__}.{member.value}", member.meaning)

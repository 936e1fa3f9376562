"""Finds changes of an OpenAPI or AsyncAPI document that break existing clients. No Python library does this for OpenAPI 3.1.

Whatever clients send must still be accepted: requests must not become narrower. Whatever clients read must still be sent:
answers, frames and pushes must not lose anything. New codes and new values of enumerations in answers are allowed, because
clients have to treat an unknown one as a general case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Side = Literal["request", "answer"]
Schema = dict[str, Any]

_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return one line per breaking change from the document `old` to `new`."""
    return list(dict.fromkeys(_Comparison(old, new).changes()))


class _Comparison:
    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._old, self._new = old, new
        self._compared: set[tuple[str, str, Side]] = set()

    def changes(self) -> Iterator[str]:
        yield from self._messages()
        for path, item in self._old.get("paths", {}).items():
            for method, before in item.items():
                name = f"{method.upper()} {path}"
                after = self._new["paths"].get(path, {}).get(method)
                if after is None:
                    yield f"{name}: the route is gone"
                else:
                    yield from self._operation(name, before, after)

    def _messages(self) -> Iterator[str]:
        """Yield the breaking changes of AsyncAPI's messages. Clients send those named `op_…`, the server all others."""
        news = self._new["components"].get("messages", {})
        for name, before in self._old["components"].get("messages", {}).items():
            if name not in news:
                yield f"{name}: the message is gone"
            else:
                side: Side = "request" if name.startswith("op_") else "answer"
                yield from self._schema(name, before["payload"], news[name]["payload"], side)

    def _operation(self, name: str, before: Schema, after: Schema) -> Iterator[str]:
        yield from self._parameters(name, before, after)
        old_body, new_body = before.get("requestBody"), after.get("requestBody")
        if old_body and new_body:
            if new_body.get("required") and not old_body.get("required"):
                yield f"{name}: the body is required now"
            yield from self._content(f"{name} body", old_body, new_body, "request")
        elif new_body and new_body.get("required"):
            yield f"{name}: a body is required now"
        elif old_body:
            yield f"{name}: the body is gone"
        for status, answer in before["responses"].items():
            if status not in after["responses"]:
                yield f"{name}: {status} is gone"
                continue
            one, two = self._resolve(answer, "old"), self._resolve(after["responses"][status], "new")
            for header in one.get("headers", {}):
                if header not in two.get("headers", {}):
                    yield f"{name} {status}: the header {header} is gone"
            yield from self._content(f"{name} {status}", one, two, "answer")

    def _parameters(self, name: str, before: Schema, after: Schema) -> Iterator[str]:
        def by_name(operation: Schema, side: Literal["old", "new"]) -> dict[tuple[str, str], Schema]:
            found = [self._resolve(each, side) for each in operation.get("parameters", [])]
            return {(each["in"], each["name"]): each for each in found}

        olds, news = by_name(before, "old"), by_name(after, "new")
        for key, parameter in news.items():
            if parameter.get("required") and not olds.get(key, {}).get("required"):
                yield f"{name}: the parameter {key[1]} is required now"
        for key, parameter in olds.items():
            if key not in news:
                yield f"{name}: the parameter {key[1]} is gone"
            else:
                yield from self._schema(
                    f"{name} {key[1]}", parameter["schema"], news[key]["schema"], "request"
                )

    def _content(self, name: str, before: Schema, after: Schema, side: Side) -> Iterator[str]:
        for media_type, content in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                yield f"{name}: {media_type} is gone"
            else:
                there = after["content"][media_type]
                yield from self._schema(name, content["schema"], there["schema"], side)

    # --- schemas ----------------------------------------------------------------------------------------

    def _schema(self, name: str, before: Schema, after: Schema, side: Side) -> Iterator[str]:
        if "$ref" in before and "$ref" in after:
            key = (before["$ref"], after["$ref"], side)
            if key in self._compared:
                return
            self._compared.add(key)
            name = f"{name} {before['$ref'].rpartition('/')[2]}"
        before, after = self._merged(before, "old"), self._merged(after, "new")
        types, there = self._types(before, "old"), self._types(after, "new")
        if side == "request" and types and there and types - there:
            yield f"{name}: {', '.join(sorted(types - there))} is no longer accepted"
        if side == "answer" and types and there and there - types:
            yield f"{name}: may be {', '.join(sorted(there - types))} now"
        if side == "request":
            yield from self._narrower(name, before, after)
        yield from self._object(name, before, after, side)
        if "items" in before and "items" in after:
            yield from self._schema(f"{name}[]", before["items"], after["items"], side)
        yield from self._branches(name, before, after, side)

    def _object(self, name: str, before: Schema, after: Schema, side: Side) -> Iterator[str]:
        olds, news = before.get("properties", {}), after.get("properties", {})
        required, there = set(before.get("required", [])), set(after.get("required", []))
        for field, schema in olds.items():
            if field in news:
                yield from self._schema(f"{name}.{field}", schema, news[field], side)
            elif side == "answer" or after.get("additionalProperties") is False:
                yield f"{name}.{field}: the field is gone"
        if side == "request":
            yield from (f"{name}.{field}: the field is required now" for field in sorted(there - required))
        else:
            lost = sorted(field for field in required - there if field in news)
            yield from (f"{name}.{field}: the field may be absent now" for field in lost)

    def _branches(self, name: str, before: Schema, after: Schema, side: Side) -> Iterator[str]:
        """Yield the breaking changes in the members of a union. Members are compared if they have the same reference.

        If both unions have one member besides null, these two are compared.
        """
        olds, news = self._members(before), self._members(after)
        if len(olds) == len(news) == 1:
            yield from self._schema(name, olds[0], news[0], side)
            return
        by_reference = {each["$ref"]: each for each in news if "$ref" in each}
        for each in olds:
            reference = each.get("$ref")
            if reference in by_reference:
                yield from self._schema(name, each, by_reference[reference], side)
            elif reference is not None and side == "request" and news:
                yield f"{name}: {reference.rpartition('/')[2]} is no longer accepted"

    @staticmethod
    def _members(schema: Schema) -> list[Schema]:
        return [
            each for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if each != {"type": "null"}
        ]

    @staticmethod
    def _narrower(name: str, before: Schema, after: Schema) -> Iterator[str]:
        """Yield the limits of a request that have become narrower."""
        for bound in _LOWER_BOUNDS:
            if bound in after and after[bound] > before.get(bound, float("-inf")):
                yield f"{name}: {bound} is {after[bound]} now"
        for bound in _UPPER_BOUNDS:
            if bound in after and after[bound] < before.get(bound, float("inf")):
                yield f"{name}: {bound} is {after[bound]} now"
        if after.get("pattern") not in (None, before.get("pattern")):
            yield f"{name}: the pattern is {after['pattern']} now"
        if "enum" in after and (gone := set(before.get("enum", ["any value"])) - set(after["enum"])):
            yield f"{name}: {', '.join(sorted(map(str, gone)))} is no longer accepted"

    def _types(self, schema: Schema, side: Literal["old", "new"]) -> set[str]:
        """Return the types that a value can have; empty if the schema has none. `number` includes `integer`."""
        if "type" in schema:
            found = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
            return found | ({"integer"} if "number" in found else set())
        members = [self._types(self._merged(each, side), side) for each in _Comparison._all_members(schema)]
        return set().union(*members) if members and all(members) else set()

    @staticmethod
    def _all_members(schema: Schema) -> list[Schema]:
        return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]

    def _merged(self, schema: Schema, side: Literal["old", "new"]) -> Schema:
        """Return the schema with its references and `allOf` resolved."""
        schema = self._resolve(schema, side)
        merged = {name: value for name, value in schema.items() if name != "allOf"}
        for each in schema.get("allOf", ()):
            part = self._merged(each, side)
            properties = {**part.get("properties", {}), **merged.get("properties", {})}
            required = [*part.get("required", []), *merged.get("required", [])]
            merged = {**part, **merged}
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = required
        return merged

    def _resolve(self, thing: Schema, side: Literal["old", "new"]) -> Schema:
        while "$ref" in thing:
            place: Any = self._old if side == "old" else self._new
            for step in thing["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            thing = place
        return thing

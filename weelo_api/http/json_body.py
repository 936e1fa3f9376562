"""Accepts request bodies in strict JSON only, and passes their text to pydantic's parser."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from weelo_workers.contracts.rejections import Code, Rejected

_SEND_JSON = "Send JSON in UTF-8 with the header Content-Type: application/json"


class JsonBody(Request):
    """A request whose `get_json` returns text, which flask-openapi3 passes to pydantic's JSON parser.

    That parser reports malformed and deeply nested JSON as a validation error, and accepts a UUID as a string in strict
    mode.
    """

    def get_json(self, *args: Any, **kwargs: Any) -> str:
        """Return the body as text, or `{}` for an empty body, because routes without required fields need no body.

        Raises Rejected(UNSUPPORTED_MEDIA_TYPE | VALIDATION_ERROR).
        """
        body = self._whole_body()
        if body:
            self._refuse_other_types()
        return _text(body)

    def get_json_of_any_type(self) -> str:
        """Return the body as text, whatever its Content-Type. For routes that read no field of the body."""
        return _text(self._whole_body())

    def _whole_body(self) -> bytes:
        body = self.get_data()
        # A chunked body declares no length. Werkzeug cuts it off at the limit without an error, so the error is raised
        # here.
        if self.content_length is None and len(body) >= (self.max_content_length or len(body) + 1):
            raise RequestEntityTooLarge
        return body

    def _refuse_other_types(self) -> None:
        coding = self.headers.get("Content-Encoding", "identity")
        if coding.strip().lower() != "identity":
            raise Rejected(
                Code.UNSUPPORTED_MEDIA_TYPE,
                "Send the body as it is, without a Content-Encoding such as gzip.",
            )
        charset = self.mimetype_params.get("charset", "utf-8")
        if self.mimetype != "application/json" or charset.lower() not in ("utf-8", "utf8"):
            raise Rejected(Code.UNSUPPORTED_MEDIA_TYPE, _SEND_JSON)


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected(Code.UNSUPPORTED_MEDIA_TYPE, _SEND_JSON) from None
    refuse_duplicates(text)
    return text or "{}"


def refuse_duplicates(text: str) -> None:
    """Raise Rejected(VALIDATION_ERROR) if an object in this JSON has a name twice: parsers disagree which value counts.

    Text that is no JSON passes: pydantic parses it next and reports the error.
    """
    try:
        # Numbers are kept as text: Python refuses to convert those with thousands of digits.
        json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        shown = name.encode("utf-8", "replace").decode()[:100]
        message = "appears more than once"
        errors = [{"field": shown, "message": message}]
        raise Rejected(Code.VALIDATION_ERROR, f"{shown}: {message}", {"errors": errors})

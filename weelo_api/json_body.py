"""How a JSON body is read: by pydantic from the text itself, once and strictly."""

from __future__ import annotations

from typing import Any

from flask import Request

from weelo_workers.contracts.rejections import Code, Rejected


class JsonBody(Request):
    """flask-openapi3 hands text to pydantic's own parser, which refuses broken, endless and deeply nested
    JSON as a validation error, and knows that a UUID in JSON is text."""

    def get_json(self, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]
        """The body as text; an empty one counts as `{}`, so that routes without required fields need no body."""
        try:
            return self.get_data().decode("utf-8") or "{}"
        except UnicodeDecodeError:
            raise Rejected(Code.VALIDATION_ERROR, "The body is not UTF-8 text.", {"errors": []}) from None

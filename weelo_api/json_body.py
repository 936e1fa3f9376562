"""How a JSON body is read: by pydantic from the text itself, once and strictly."""

from __future__ import annotations

from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from weelo_workers.contracts.rejections import Code, Rejected


class JsonBody(Request):
    """flask-openapi3 hands text to pydantic's own parser, which refuses broken, endless and deeply nested
    JSON as a validation error, and knows that a UUID in JSON is text."""

    def get_json(self, *args: Any, **kwargs: Any) -> str:
        """The body as text; an empty one counts as `{}`, so that routes without required fields need no body."""
        body = self.get_data()
        # A chunked body has no length to look at beforehand: Werkzeug cuts it off at the limit, silently.
        if self.content_length is None and len(body) >= (self.max_content_length or len(body) + 1):
            raise RequestEntityTooLarge
        try:
            return body.decode("utf-8") or "{}"
        except UnicodeDecodeError:
            raise Rejected(Code.VALIDATION_ERROR, "The body is not UTF-8 text.", {"errors": []}) from None

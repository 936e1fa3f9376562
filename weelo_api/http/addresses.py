"""Accepts one spelling of each address. Another spelling is answered with 404.

A query that is not in UTF-8, or that has a parameter twice, is answered with 400.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from flask import Flask, request

from weelo_workers.contracts.rejections import Code, Rejected

_ONE_SLASH = re.compile(r"/(?!/)")
# Matches letters, digits, `-`, `.`, `_` and `/` in percent-encoding. A path need not encode them (RFC 3986, section
# 2.3), and `/api%2Fv1` would bypass a proxy's rule for `/api`.
_NEEDLESSLY_ENCODED = re.compile(r"%(2[D-F]|3\d|4[1-9A-F]|5[\dAF]|6[1-9A-F]|7[\dA])", re.IGNORECASE)

# Only the routes below these paths read the query, so it is checked only there.
_WITH_QUERIES = re.compile(r"/(api|console)(/|$)")


def register(app: Flask) -> None:
    """Make the app refuse other spellings of an address, and ambiguous queries. Call this before routes are added.

    By default Werkzeug redirects a request with another spelling to an absolute address, and clients that follow a
    redirect turn POST into GET. Werkzeug also treats several leading slashes as one, so that a request could bypass a
    proxy's rule for a path.
    """
    app.url_map.merge_slashes = False

    @app.before_request
    def _refuse_other_spellings() -> None:
        as_sent = request.environ.get("RAW_URI", "")
        path = as_sent.partition("?")[0]
        # A request must not have a fragment (RFC 9112, section 3.2). gunicorn would accept one and remove it.
        if "#" in as_sent or _NEEDLESSLY_ENCODED.search(path):
            raise Rejected(Code.NOT_FOUND)
        if not _ONE_SLASH.match(request.environ.get("PATH_INFO", "")):
            raise Rejected(Code.NOT_FOUND)

    @app.before_request
    def _refuse_other_encodings() -> None:
        """Refuse a query that is not in UTF-8.

        Werkzeug would decode both `%FF`, which is not UTF-8, and `%25FF` to the text "%FF".
        """
        if not _WITH_QUERIES.match(request.path):
            return
        try:
            unquote_to_bytes(request.query_string).decode()
        except UnicodeDecodeError:
            raise Rejected(
                Code.VALIDATION_ERROR, "The query must be in UTF-8, percent-encoded.", {"errors": []}
            ) from None

    @app.before_request
    def _refuse_repeated_parameters() -> None:
        repeated = [name for name, values in request.args.lists() if len(values) > 1]
        if repeated and request.path.startswith("/api/"):
            errors = [{"field": name[:100], "message": "appears more than once"} for name in repeated[:10]]
            raise Rejected(
                Code.VALIDATION_ERROR, f"{errors[0]['field']}: appears more than once", {"errors": errors}
            )

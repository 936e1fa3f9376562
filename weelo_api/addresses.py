"""One spelling for each address."""

from __future__ import annotations

import re

from flask import Flask, request

from weelo_workers.contracts.rejections import Code, Rejected

_ONE_SLASH = re.compile(r"/(?!/)")


def register(app: Flask) -> None:
    """Make other spellings of an address 404, before any routes are added.

    Werkzeug would redirect them to an absolute address, where a client that follows turns its POST into a GET, and would
    take any number of leading slashes for one, so that a proxy's rule for a path could be walked around.
    """
    app.url_map.merge_slashes = False

    @app.before_request
    def _refuse_other_spellings() -> None:
        if not _ONE_SLASH.match(request.environ.get("PATH_INFO", "")):
            raise Rejected(Code.NOT_FOUND)

"""The routes of the documentation: `/docs`, its pages, and the files that they load."""

from __future__ import annotations

from functools import lru_cache

from flask import Blueprint, Flask, Response, abort, render_template, request

from weelo_api.docs_site import assets, text
from weelo_api.docs_site.pages import PAGES, Page
from weelo_workers import __version__
from weelo_workers.settings import settings

api = Blueprint("docs", __name__, template_folder="templates")
api.add_app_template_filter(text.with_code, "with_code")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STRICT = _POLICY.format(styles="'self'")
# The viewer sets style attributes and adds style elements. Attributes cannot be allowed by a hash or a nonce, so all
# inline styles are allowed.
_WITH_VIEWER = _POLICY.format(styles="'self' 'unsafe-inline'")


@lru_cache(maxsize=2 * len(PAGES))
def _html(page: Page, *, is_sandbox: bool) -> str:
    return render_template(
        f"docs/{page.template}",
        page=page,
        pages=PAGES,
        version=__version__,
        asset=assets.address,
        is_sandbox=is_sandbox,
        **page.content(),
    )


@api.get("/docs")
@api.get("/docs/<name>")
def docs(name: str = "") -> Response:
    """Return a page of the documentation."""
    page = next((page for page in PAGES if page.name == name), None)
    if page is None:
        abort(404)
    answer = Response(_html(page, is_sandbox=settings().is_sandbox), content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = _WITH_VIEWER if page.has_viewer else _STRICT
    # A browser must revalidate a stored page before each use. Otherwise, after an update of the server, the page would
    # load files that no longer exist.
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag(weak=True)
    answer.make_conditional(request)
    return answer


@api.get("/docs/assets/<digest>/<name>")
def docs_asset(digest: str, name: str) -> Response:
    """Return a file that the pages load."""
    answer = assets.response(digest, name)
    if answer is None:
        abort(404)
    return answer


def register(app: Flask) -> None:
    app.register_blueprint(api)

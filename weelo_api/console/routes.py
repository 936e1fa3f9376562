"""The routes of the console: sign-in and sign-out, and what all of its requests share."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4, uuid5

from flask import Blueprint, Response, abort, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException

from weelo_api.auth import Identity, authenticate, token_of
from weelo_api.commands.rate_limit import TokenBuckets
from weelo_api.console import sessions, wording
from weelo_api.console.assets import ASSETS
from weelo_api.http import server_errors
from weelo_api.http.errors import problem_response
from weelo_api.per_process import PerProcess
from weelo_workers import __version__, clock
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import DATABASE_ERRORS, is_contention, is_outage
from weelo_workers.settings import settings

api = Blueprint("console", __name__, url_prefix="/console", template_folder="templates")

SIGN_IN = "/console/sign-in"
START = "/console"

# Limits attempts to sign in from one network address: ten at once, and one a second in the long run.
sign_in_attempts = PerProcess(lambda: TokenBuckets(1.0))
_ADDRESSES = uuid5(sessions.NAMESPACE, "addresses")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    # With `no-referrer`, the policy of the other routes, browsers send a form with `Origin: null`, and the console
    # would refuse it as a form of another site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

NAVIGATION = (
    ("/console", "Map"),
    ("/console/broadcasts", "Broadcasts"),
    ("/console/fleets", "Fleets"),
    ("/console/queues", "Queues"),
    ("/console/stuck", "Stuck"),
    ("/console/policies", "Policies"),
    ("/console/audit", "Audit"),
)

_OPEN_TO_ALL = frozenset({"console.sign_in", "console.send_sign_in", "console.asset"})


def session() -> sessions.Session:
    """Return the session of this request."""
    found: sessions.Session = g.console_session
    return found


def page(template: str, **content: Any) -> str:
    """Return a page of the console as HTML."""
    return render_template(
        f"console/{template}",
        asset=ASSETS.address,
        words=wording,
        session=g.get("console_session"),
        navigation=NAVIGATION,
        here=request.path,
        version=__version__,
        now=clock.now(),
        form_key=lambda: uuid4().hex,
        is_sandbox=settings().is_sandbox,
        **content,
    )


@api.before_request
def _admit() -> Response | None:
    """Admit only admins, and only forms of their own session. Return None, or a response that leads to the sign-in."""
    if request.endpoint == "console.asset":
        return None
    if "Authorization" in request.headers:
        # Pages require a session, so a request that has only a token is redirected to the sign-in. But if the token's
        # role is not admin, the response is 403.
        _refuse_other_roles(request.headers["Authorization"])
    g.console_session = sessions.find(request)
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        _refuse_forgery()
    if g.console_session is None and request.endpoint not in _OPEN_TO_ALL:
        return _to_sign_in()
    _refuse_nul()
    return None


def _refuse_nul() -> None:
    """Refuse an address with a NUL character, because its values are used in queries, and PostgreSQL has no NUL."""
    for name, value in request.args.items(multi=True):
        if "\0" in name + value:
            raise Rejected(
                Code.VALIDATION_ERROR, "the address must not contain NUL characters", {"errors": []}
            )


def _refuse_other_roles(header: str) -> None:
    if authenticate(token_of(header)).caller.role is not Role.ADMIN:
        raise Rejected(Code.FORBIDDEN, "The console is for: admin.")


def _refuse_forgery() -> None:
    found: sessions.Session | None = g.console_session
    if sessions.is_from_elsewhere(request):
        raise Rejected(Code.FORBIDDEN, "The form was sent by a page of another site.")
    signing_in = request.endpoint == "console.send_sign_in"
    if not signing_in and (found is None or not found.accepts(request.form.get("form_token", ""))):
        raise Rejected(Code.FORBIDDEN, "The form is not of this session. Load the page again.")


def _to_sign_in() -> Response:
    # If the address contains a token, the redirect does not contain the address. Otherwise the token would be logged
    # again when the browser follows the redirect.
    is_page = request.method == "GET" and "token" not in request.args
    where = request.full_path.rstrip("?") if is_page else START
    address = f"{SIGN_IN}?next={quote(where)}"
    if request.headers.get("HX-Request") or request.headers.get("Accept") == "application/json":
        # A script asked for a part of the page. With a redirect, the sign-in page would replace only this part, so the
        # header tells the script to load the sign-in as a whole page.
        response = problem_response(Rejected(Code.UNAUTHORIZED, f"Sign in at {SIGN_IN}.").problem())
        response.headers["HX-Redirect"] = SIGN_IN
        return response
    return redirect(address, 303)  # type: ignore[return-value]


@api.after_request
def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        if name != "Cache-Control" or name not in response.headers:
            response.headers[name] = value
    return response


def _wants_a_page() -> bool:
    """Return whether a browser has sent the request. Other programs get errors as JSON, as from all routes."""
    return "text/html" in request.headers.get("Accept", "")


@api.errorhandler(Rejected)
def _rejected(rejected: Rejected, title: str | None = None) -> Response:
    if not _wants_a_page():
        return problem_response(rejected.problem())
    response = Response(
        page("error.html", code=rejected.code, detail=rejected.detail, title=title), rejected.code.http_status
    )
    if "retryAfter" in rejected.extra:
        response.headers["Retry-After"] = str(rejected.extra["retryAfter"])
    return response


@api.errorhandler(HTTPException)
def _http(error: HTTPException) -> Response:
    code = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED, 413: Code.PAYLOAD_TOO_LARGE}.get(
        error.code or 500, Code.VALIDATION_ERROR
    )
    return _rejected(Rejected(code, "", {"errors": []} if code is Code.VALIDATION_ERROR else {}))


def _unavailable(error: Exception) -> Response:
    if not (is_outage(error) or is_contention(error)):
        return _unexpected(error)
    server_errors.log_unavailable_database(error)
    g.console_session = None  # reading the session may have caused this error, so it is not read again
    detail = "The database does not answer. Load the page again in a moment."
    # The code's own title is about a command that was not accepted, which would mislead the reader of a page.
    title = "Not available at the moment" if request.method in ("GET", "HEAD") else None
    return _rejected(Rejected(Code.SERVICE_UNAVAILABLE, detail, {"retryAfter": 1}), title)


for _error_class in DATABASE_ERRORS:
    api.register_error_handler(_error_class, _unavailable)


@api.errorhandler(Exception)
def _unexpected(error: Exception) -> Response:
    server_errors.log_unexpected(error)
    return _rejected(Rejected(Code.INTERNAL_ERROR, "It has been logged. Trying again is safe."))


@api.get("/")
def start_with_a_slash() -> Response:
    """Redirect to the map."""
    return redirect(START, 303)  # type: ignore[return-value]


@api.get("/<path:unknown>")
def unknown_page(**_address: str) -> Response:
    """Answer all other addresses below /console with 404. Without this route the 404 would not be a page."""
    abort(404)


# --- sign-in --------------------------------------------------------------------------------------------


@api.get("/sign-in")
def sign_in() -> str:
    """Show the form in which an admin pastes a token."""
    return _sign_in_form()


def _sign_in_form(refused: Rejected | None = None) -> str:
    return page("sign_in.html", next=_next(request.values.get("next", "")), refused=refused)


@api.post("/sign-in")
def send_sign_in() -> Response:
    """Begin a session for the admin's token in the form."""
    try:
        identity = _identity_in_form()
    except Rejected as refused:
        if not _wants_a_page():
            raise
        return Response(_sign_in_form(refused), refused.code.http_status)
    response = redirect(_next(request.form.get("next", "")), 303)
    sessions.set_cookie(response, sessions.begin(identity))  # type: ignore[arg-type]
    return response  # type: ignore[return-value]


def _identity_in_form() -> Identity:
    """Return the identity in the admin's token in the form. Raises Rejected."""
    try:
        sign_in_attempts().take(uuid5(_ADDRESSES, request.remote_addr or ""))
    except Rejected as refused:
        raise Rejected(Code.RATE_LIMITED, "Too many attempts. Wait a moment.", refused.extra) from None
    if settings().console_key is None:
        raise Rejected(
            Code.SERVICE_UNAVAILABLE,
            "No session can begin without JWT_SECRET or WEBHOOK_SECRET_KEY.",
            {"retryAfter": 30},
        )
    identity = authenticate(request.form.get("token", "").strip())
    if identity.caller.role is not Role.ADMIN:
        raise Rejected(Code.FORBIDDEN, "This token is not an admin's.")
    return identity


def _next(address: str) -> str:
    """Return the page to show after the sign-in: `address` if it is a page of the console, else the start page."""
    is_own = address == START or address.startswith((f"{START}/", f"{START}?"))
    return address if is_own and not address.startswith(SIGN_IN) and "\\" not in address else START


@api.post("/sign-out")
def sign_out() -> Response:
    """End the session."""
    sessions.sign_out(session())
    response = redirect(SIGN_IN, 303)
    sessions.delete_cookie(response)  # type: ignore[arg-type]
    return response  # type: ignore[return-value]


@api.get("/assets/<digest>/<name>")
def asset(digest: str, name: str) -> Response:
    """Return a file that the pages load."""
    answer = ASSETS.response(digest, name)
    if answer is None:
        abort(404)
    return answer

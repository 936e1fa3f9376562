"""Only admins can sign in. Their cookie is valid for the console only, and only forms of their own session are accepted."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from tests.console.operator import ORIGIN, Operator, app, client
from tests.support.changed_settings import with_settings
from tests.support.tokens import signed, token
from tests.support.world import World
from weelo_workers.contracts.statuses import Role

SOME_ID = "6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"
OTHERS = sorted(set(Role) - {Role.ADMIN})


def attributes(response: TestResponse) -> dict[str, str]:
    """Return the attributes of the session's cookie, by name in lower case."""
    [cookie] = [each for each in response.headers.getlist("Set-Cookie") if each.startswith("weelo_console=")]
    parts = (part.partition("=") for part in cookie.split("; ")[1:])
    return {name.lower(): value for name, _, value in parts}


def routes(method: str) -> list[str]:
    """Return the addresses of the console's routes for signed-in admins."""
    found = [
        re.sub(r"<uuid:\w+>", SOME_ID, rule.rule).replace("<name>", "cancel")
        for rule in app().url_map.iter_rules()
        if rule.endpoint.startswith("console.") and method in (rule.methods or ()) and not rule.websocket
    ]
    return sorted(each for each in found if "sign-in" not in each and "/assets/" not in each)


# --- signing in -----------------------------------------------------------------------------------------


def test_a_sign_in_gives_a_cookie_that_scripts_and_other_sites_do_not_get(migrated: None) -> None:
    operator = Operator()
    response = operator.sign_in()
    assert (response.status_code, response.headers["Location"]) == (303, "/console")
    cookie = attributes(response)
    assert cookie["samesite"] == "Strict" and cookie["path"] == "/console"
    assert "httponly" in cookie and "domain" not in cookie
    assert "Operator" in operator.get("")


def test_in_production_the_cookie_is_sent_over_tls_only(
    migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Operator()
    assert "secure" not in attributes(operator.sign_in())
    with_settings(monkeypatch, weelo_env="production")
    assert "secure" in attributes(operator.sign_in())


@pytest.mark.parametrize(("ttl", "longest"), [(600, 630), (7 * 86_400, 12 * 3_600)])
def test_a_session_ends_with_its_token_and_after_twelve_hours_at_the_latest(
    migrated: None, ttl: int, longest: int
) -> None:
    cookie = attributes(Operator().sign_in(ttl=ttl))
    assert longest - 60 <= int(cookie["max-age"]) <= longest


def test_a_session_that_has_ended_is_refused(operator: Operator) -> None:
    from weelo_api.console import sessions

    cookie = operator.cookie
    found = jwt.decode(cookie, options={"verify_signature": False})
    over = signed({**found, "exp": int(datetime.now(UTC).timestamp()) - 1}, sessions._key())
    again = signed({**found, "exp": int(datetime.now(UTC).timestamp()) + 60}, sessions._key())
    for value, status in ((again, 200), (over, 303)):
        visitor = client()
        visitor.set_cookie("weelo_console", value, path="/console")
        assert visitor.get("/console/queues").status_code == status


@pytest.mark.parametrize("role", OTHERS)
def test_tokens_of_other_roles_are_refused(migrated: None, role: Role) -> None:
    visitor = client()
    given = token(role, uuid4())
    response = visitor.post("/console/sign-in", data={"token": given}, headers={"Origin": ORIGIN})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers
    assert given not in response.text
    for path in ("/console", "/console/map.json", "/console/sign-in"):
        assert visitor.get(path, headers={"Authorization": f"Bearer {given}"}).status_code == 403


@pytest.mark.parametrize(
    "given", ["", "no token", "a.b.c", "é" * 30], ids=["empty", "words", "three parts", "not ASCII"]
)
def test_what_is_no_token_is_refused(migrated: None, given: str) -> None:
    for accepted, content_type in (("text/html,*/*", "text/html"), ("*/*", "application/problem+json")):
        headers = {"Origin": ORIGIN, "Accept": accepted}
        response = client().post("/console/sign-in", data={"token": given}, headers=headers)
        assert response.status_code == 401
        assert content_type in response.content_type


def test_a_token_in_an_address_signs_nobody_in(migrated: None) -> None:
    visitor, given = client(), token(Role.ADMIN, uuid4())
    for path in (f"/console?token={given}", f"/console/sign-in?token={given}"):
        response = visitor.get(path)
        assert "Set-Cookie" not in response.headers
        assert given not in response.text
    assert visitor.get("/console").status_code == 303


def test_attempts_to_sign_in_are_limited(migrated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from weelo_api.commands.rate_limit import TokenBuckets
    from weelo_api.console import routes as console_routes

    buckets = TokenBuckets(0.1)
    monkeypatch.setattr(console_routes, "sign_in_attempts", lambda: buckets)
    visitor = client()
    statuses = [
        visitor.post("/console/sign-in", data={"token": "x"}, headers={"Origin": ORIGIN}) for _ in range(3)
    ]
    assert [each.status_code for each in statuses] == [401, 429, 429]
    assert int(statuses[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("/console/queues", "/console/queues"),
        ("/console/broadcasts?status=open&q=x", "/console/broadcasts?status=open&q=x"),
        ("https://elsewhere.example/console", "/console"),
        ("//elsewhere.example", "/console"),
        ("/consoleelsewhere", "/console"),
        ("/console/\\\\elsewhere.example", "/console"),
        ("/console/sign-in", "/console"),
    ],
)
def test_a_sign_in_leads_to_a_page_of_the_console(migrated: None, wanted: str, shown: str) -> None:
    form = {"token": token(Role.ADMIN, uuid4()), "next": wanted}
    response = client().post("/console/sign-in", data=form, headers={"Origin": ORIGIN})
    assert response.headers["Location"] == shown


def test_without_a_secret_no_session_begins(migrated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client()
    with_settings(monkeypatch, jwt_secret=None)
    response = visitor.post("/console/sign-in", data={"token": "x"}, headers={"Origin": ORIGIN})
    assert response.status_code == 503


# --- the cookie -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", routes("GET"))
def test_without_a_session_every_page_leads_to_the_sign_in(migrated: None, path: str) -> None:
    for cookie in ("", "x", "a.b.c", token(Role.ADMIN, uuid4())):
        visitor = client()
        visitor.set_cookie("weelo_console", cookie, path="/console")
        response = visitor.get(path)
        assert response.status_code == 303
        assert response.headers["Location"].startswith("/console/sign-in?next=/console")
        part = visitor.get(path, headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/console/sign-in")
        assert part.json["code"] == "UNAUTHORIZED"


def test_a_cookie_opens_nothing_below_the_api(operator: Operator) -> None:
    cookie = f"weelo_console={operator.cookie}"
    for path in ("/api/v1/admin/broadcasts", "/api/v1/broadcasts"):
        assert operator.client.get(path, headers={"Cookie": cookie}).status_code == 401
    bearer = {"Authorization": f"Bearer {operator.cookie}"}
    assert operator.client.get("/api/v1/admin/broadcasts", headers=bearer).status_code == 401


def test_a_sign_out_ends_copies_of_the_cookie_too(operator: Operator) -> None:
    copy = client()
    copy.set_cookie("weelo_console", operator.cookie, path="/console")
    assert copy.get("/console/queues").status_code == 200
    form = {"form_token": operator.form_token()}
    response = operator.client.post("/console/sign-out", data=form, headers={"Origin": ORIGIN})
    assert response.status_code == 303
    assert attributes(response)["max-age"] == "0"
    assert copy.get("/console/queues").status_code == 303


def test_a_sign_out_is_deleted_when_the_cookie_has_expired(world: World, operator: Operator) -> None:
    from weelo_workers.messaging.retention import purge_expired

    form = {"form_token": operator.form_token()}
    operator.client.post("/console/sign-out", data=form, headers={"Origin": ORIGIN})
    purge_expired(world.engine, 1)
    assert world.value("SELECT count(*) FROM console_sign_outs") == 1
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE console_sign_outs SET expires_at = expires_at - interval '3 days'"))
    purge_expired(world.engine, 1)
    assert world.value("SELECT count(*) FROM console_sign_outs") == 0


# --- forged forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", routes("POST"))
@pytest.mark.parametrize("forgery", ["no token", "another session's token", "another origin", "another site"])
def test_a_forged_form_is_refused(operator: Operator, path: str, forgery: str) -> None:
    other = Operator()
    other.sign_in()
    form = {"form_token": operator.form_token(), "reason": "because", "key": "a key"}
    headers = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
    match forgery:
        case "no token":
            del form["form_token"]
        case "another session's token":
            form["form_token"] = other.form_token()
        case "another origin":
            headers["Origin"] = "https://elsewhere.example"
        case "another site":
            headers["Sec-Fetch-Site"] = "cross-site"
    response = operator.client.post(path, data=form, headers=headers)
    assert response.status_code == 403
    assert operator.client.get("/console/queues").status_code == 200, "the session goes on"


@pytest.mark.parametrize("path", routes("POST"))
def test_a_form_without_a_session_is_refused(migrated: None, path: str) -> None:
    assert client().post(path, data={"reason": "x"}, headers={"Origin": ORIGIN}).status_code == 403


def test_a_sign_in_from_another_site_is_refused(migrated: None) -> None:
    form = {"token": token(Role.ADMIN, uuid4())}
    for headers in (
        {"Origin": "null"},
        {"Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert client().post("/console/sign-in", data=form, headers=headers).status_code == 403


# --- headers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/console/sign-in", *routes("GET")])
def test_the_policy_allows_this_server_only(operator: Operator, path: str) -> None:
    headers = operator.client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert (
        "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    )
    for unsafe in ("unsafe-inline", "unsafe-eval", "http:", "https:", "*"):
        assert unsafe not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"

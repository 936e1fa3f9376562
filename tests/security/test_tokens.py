"""Which tokens are accepted, over HTTP and on the socket, in the header and in the first frame."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from uuid import uuid4

import httpx
import pytest
from flask import Flask

from tests.security.bad_tokens import expired, forged, malformed
from tests.support.api_process import Api
from tests.support.programs import weelo_here
from tests.support.tokens import claims, signed, token
from weelo_workers.contracts.statuses import Role

BAD = {**forged(), **malformed(), **expired()}


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


def events(api: Api, headers: Any = (), **options: Any) -> httpx.Response:
    """Request the caller's log, which every role may read."""
    return httpx.get(f"http://127.0.0.1:{api.port}/api/v1/events", headers=headers, **options)


def refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    code: str = answer.json()["code"]
    return code


# --- HTTP -----------------------------------------------------------------------------------------------


def test_a_good_token_is_believed(api: Api) -> None:
    assert events(api, {"Authorization": f"Bearer {signed(claims())}"}).status_code == 200


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_401_and_does_not_say_why(api: Api, name: str) -> None:
    answer = events(api, {"Authorization": f"Bearer {BAD[name]}"})
    if name in expired():
        assert refusal(answer) == "TOKEN_EXPIRED"
    else:
        assert refusal(answer) == "UNAUTHORIZED"
        assert answer.json()["detail"] == "The token is not valid."


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "{}", "Bearer{}", "Token {}", "JWT {}", "Basic {}", "Bearer {} {}", "Bearer {},Bearer {}"],
)
def test_only_one_bearer_token_in_the_header_counts(api: Api, header: str) -> None:
    good = signed(claims())
    assert refusal(events(api, {"Authorization": header.replace("{}", good)})) == "UNAUTHORIZED"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(api: Api, scheme: str) -> None:
    """The scheme "Bearer" is case-insensitive (RFC 9110, section 11.1)."""
    assert events(api, {"Authorization": f"{scheme} {signed(claims())}"}).status_code == 200


def test_two_authorization_headers_are_401(api: Api) -> None:
    both = [("Authorization", f"Bearer {signed(claims())}"), ("Authorization", f"Bearer {BAD['alg none']}")]
    assert refusal(events(api, both)) == "UNAUTHORIZED"
    assert refusal(events(api, both[::-1])) == "UNAUTHORIZED"


@pytest.mark.parametrize("name", ["token", "access_token", "jwt", "Authorization", "bearer"])
def test_a_token_elsewhere_is_not_looked_at(api: Api, name: str) -> None:
    """Tokens in addresses or cookies are ignored.

    Addresses end up in logs, and browsers send cookies with requests of other sites.
    """
    good = signed(claims())
    assert refusal(events(api, params={name: good})) == "UNAUTHORIZED"
    assert refusal(events(api, {"Cookie": f"{name}={good}"})) == "UNAUTHORIZED"
    assert refusal(events(api, {f"X-{name.replace('_', '-')}": good})) == "UNAUTHORIZED"
    url = f"http://127.0.0.1:{api.port}/api/v1/devices/a-device-token"
    assert refusal(httpx.put(url, json={"platform": "android", name: good})) == "UNAUTHORIZED"


# --- times and audiences --------------------------------------------------------------------------------


def answer_and_close_code(api: Api, **changed: Any) -> tuple[int, int | None]:
    """Return the HTTP status for this token, and the close code if the socket is closed at once."""
    good = signed(claims(**changed))
    client = api.connect(f"Bearer {good}")
    try:
        first = client.frame()
    except AssertionError:
        return events(api, {"Authorization": f"Bearer {good}"}).status_code, 4401
    assert first["event"] == "connected" and client.is_silent()
    client.disconnect()
    return events(api, {"Authorization": f"Bearer {good}"}).status_code, None


# Times of claims in seconds from now. The leeway is 30 s; at most 20 s of it are used, because a slow machine takes
# some seconds. `iat` may be any time, because it is not checked.
WITHIN_THE_LEEWAY = [
    {"nbf": 20},
    {"exp": -10},
    {"iat": 20},
    {"iat": 86_400},
    {"iat": 20, "nbf": 20, "exp": 20},
]
NEVER = 253_402_300_799  # the last second of the year 9999


def test_a_token_that_never_expires_is_accepted(api: Api) -> None:
    assert answer_and_close_code(api, exp=NEVER) == (200, None)


BEYOND_THE_LEEWAY = [{"nbf": 60}, {"exp": -31}, {"exp": -86_400}]


def at(changed: dict[str, int]) -> dict[str, int]:
    return {claim: int(time.time()) + seconds for claim, seconds in changed.items()}


@pytest.mark.parametrize("changed", WITHIN_THE_LEEWAY, ids=str)
def test_clocks_may_differ_by_some_seconds(api: Api, changed: dict[str, int]) -> None:
    assert answer_and_close_code(api, **at(changed)) == (200, None)


@pytest.mark.parametrize("changed", BEYOND_THE_LEEWAY, ids=str)
def test_clocks_may_not_differ_by_more(api: Api, changed: dict[str, int]) -> None:
    assert answer_and_close_code(api, **at(changed)) == (401, 4401)


ADDITIONAL = [
    {"aud": "another service"},
    {"aud": ["one", "another"]},
    {"aud": 7},
    {"iss": "https://elsewhere.example"},
    {"jti": 7},
    {"iat": "yesterday"},
    {"iat": [1]},
    {"email": "a@b.example", "scope": {"a": [1]}},
]


@pytest.mark.parametrize("changed", ADDITIONAL, ids=str)
def test_claims_that_are_not_checked_cause_no_refusal(api: Api, changed: dict[str, Any]) -> None:
    assert answer_and_close_code(api, **changed) == (200, None)


@pytest.fixture(scope="module")
def strict(migrated: None) -> Iterator[Api]:
    """Yield an API with JWT_AUDIENCE set."""
    api = Api(JWT_AUDIENCE="weelo")
    yield api
    api.stop()


@pytest.mark.parametrize("audience", ["weelo", ["weelo"], ["another", "weelo"]], ids=str)
def test_a_configured_audience_has_to_be_in_the_token(strict: Api, audience: Any) -> None:
    assert answer_and_close_code(strict, aud=audience) == (200, None)


@pytest.mark.parametrize("audience", [None, "", "Weelo", "weelo ", [], ["another"], 7, {"weelo": 1}], ids=str)
def test_a_token_without_the_configured_audience_is_401(strict: Api, audience: Any) -> None:
    assert answer_and_close_code(strict, aud=audience) == (401, 4401)


def test_a_token_of_weelo_token_is_for_the_configured_audience(strict: Api) -> None:
    printed = weelo_here("token", "--role", "customer", "--sub", str(uuid4()), JWT_AUDIENCE="weelo").stdout
    assert events(strict, {"Authorization": f"Bearer {printed.strip()}"}).status_code == 200


# --- roles ----------------------------------------------------------------------------------------------


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def guarded() -> list[tuple[str, str, str]]:
    """Return (method, path, role) for every route of the app and every role that the route does not admit."""
    found = []
    for rule in app().url_map.iter_rules():
        roles = getattr(app().view_functions[rule.endpoint], "roles", None)
        path = re.sub(r"<[^>]+>", str(uuid4()), rule.rule) if roles else ""
        for role in set(Role) - (roles or set(Role)):
            found += [(method, path, role) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    return sorted(found, key=lambda each: (re.sub(r"[0-9a-f-]{36}", "{}", each[1]), each[0], each[2]))


@pytest.mark.parametrize(
    ("method", "path", "role"), guarded(), ids=lambda each: re.sub(r"[0-9a-f-]{36}", "{}", each)
)
def test_no_role_gets_into_the_routes_of_another(method: str, path: str, role: str) -> None:
    headers = {"Authorization": f"Bearer {signed(claims(role=role))}"}
    answer = app().test_client().open(path, method=method, headers=headers, data=b"{not json")
    assert (answer.status_code, answer.get_json()["code"]) == (403, "FORBIDDEN")


def test_somebody_who_comes_back_in_another_role_has_what_that_role_has_and_no_more(api: Api) -> None:
    user_id = str(uuid4())
    base = f"http://127.0.0.1:{api.port}/api/v1"
    as_customer = {"Authorization": f"Bearer {signed(claims(sub=user_id))}"}
    as_transporter = {"Authorization": f"Bearer {signed(claims(sub=user_id, role='transporter'))}"}
    assert httpx.get(f"{base}/broadcasts", headers=as_customer).status_code == 200
    assert httpx.get(f"{base}/broadcasts", headers=as_transporter).status_code == 403
    assert httpx.get(f"{base}/offers", headers=as_transporter).status_code == 200
    assert httpx.get(f"{base}/offers", headers=as_customer).status_code == 403


# --- the socket -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_in_the_header_opens_no_socket(api: Api, name: str) -> None:
    assert api.connect(f"Bearer {BAD[name]}").close_code() == 4401


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_in_the_first_frame_opens_no_socket(api: Api, name: str) -> None:
    client = api.connect()
    client.send(op="auth", token=BAD[name])
    assert client.close_code() == 4401


def test_a_token_in_the_address_opens_no_socket(api: Api) -> None:
    import websocket

    good = signed(claims())
    address = (
        f"ws://127.0.0.1:{api.port}/api/v1/ws?token={good}&access_token={good}&Authorization=Bearer+{good}"
    )
    ws = websocket.create_connection(address, timeout=10, header=[f"Cookie: token={good}"])
    ws.send('{"op":"ping"}')
    opcode, frame = ws.recv_data_frame(control_frame=True)
    assert (opcode, int.from_bytes(frame.data[:2])) == (websocket.ABNF.OPCODE_CLOSE, 4401)


def test_an_open_socket_does_not_change_its_role(api: Api) -> None:
    user_id = uuid4()
    client = api.connect_as(user_id, "customer")
    client.send(op="auth", token=token("admin", user_id))
    assert client.close_code() == 4403


@pytest.mark.parametrize("name", ["alg none", "another secret", "no expiry", "in 1970"])
def test_an_open_socket_does_not_live_on_by_a_bad_token(api: Api, name: str) -> None:
    client = api.connect_as()
    client.send(op="auth", token=BAD[name])
    assert client.close_code() == 4401

"""The API accepts Firebase ID tokens as well as our own tokens, over HTTP and on sockets.

The tests make Firebase's keys themselves and need no network.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.api_process import Api
from tests.support.firebase import PROJECT, KeyServer, certificate, id_token, private_key
from tests.support.people import BOOKING
from tests.support.tokens import claims, signed, token
from tests.support.world import World
from weelo_api.auth import FIREBASE_USERS
from weelo_workers.settings import ConfigurationError, settings

UID = "p3Vx5mGkqWf0TzR8uYc1LnB7sJd2"


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    server = KeyServer("first", "second")
    yield server
    server.close()


@pytest.fixture(scope="module")
def api(migrated: None, keys: KeyServer) -> Iterator[Api]:
    api = start(keys, "jwt,firebase")
    yield api
    api.stop()


def start(keys: KeyServer, providers: str) -> Api:
    return Api(AUTH_PROVIDERS=providers, FIREBASE_PROJECT_ID=PROJECT, FIREBASE_KEYS_URL=keys.url)


def fetch(api: Api, bearer: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx.get(f"http://127.0.0.1:{api.port}/api/v1/events", headers=headers, timeout=15)


def user_of(api: Api, bearer: str) -> UUID:
    """Return our id of the token's user, from the socket's first frame."""
    client = api.connect(f"Bearer {bearer}")
    user_id = UUID(client.frame()["data"]["userId"])
    client.disconnect()
    return user_id


def test_both_kinds_of_tokens_are_accepted(api: Api) -> None:
    assert fetch(api, id_token(UID)).status_code == 200
    assert fetch(api, id_token(UID, key="second")).status_code == 200
    assert fetch(api, token("customer", uuid4())).status_code == 200


@pytest.mark.parametrize("role", ["customer", "transporter", "driver", "admin"])
def test_the_role_is_that_of_the_custom_claim(api: Api, role: str) -> None:
    headers = {"Authorization": f"Bearer {id_token(str(uuid4()), role=role)}"}
    answer = httpx.get(f"http://127.0.0.1:{api.port}/api/v1/offers", headers=headers)
    assert answer.status_code == (200 if role == "transporter" else 403)


@pytest.mark.parametrize(
    "other",
    ["x", "x" * 128, "é", "{3b6d3f0e-8a4b-4c8e-9f1d-2a5b7c9d1e3f}", "3b6d3f0e8a4b4c8e9f1d2a5b7c9d1e3f"],
)
def test_a_uid_that_is_no_uuid_gets_one(api: Api, other: str) -> None:
    assert user_of(api, id_token(other)) == uuid5(FIREBASE_USERS, other)


def test_a_uid_that_is_a_uuid_is_kept(api: Api) -> None:
    user_id = uuid4()
    assert user_of(api, id_token(str(user_id))) == user_id
    assert user_of(api, id_token(str(user_id).upper())) != user_id, "another uid of Firebase is another user"


def test_a_command_has_the_name_and_the_number_of_the_user(api: Api, world: World) -> None:
    bearer = id_token(UID, name="Asha", phone_number="+919810000000")
    headers = {"Authorization": f"Bearer {bearer}"}
    answer = httpx.post(f"http://127.0.0.1:{api.port}/api/v1/bookings", json=BOOKING, headers=headers)
    assert answer.status_code == 202
    [row] = world.rows("SELECT caller_id, caller_role, caller_name, caller_phone FROM mailbox")
    assert tuple(row) == (uuid5(FIREBASE_USERS, UID), "customer", "Asha", "+919810000000")


NOW = int(time.time())

REFUSED: dict[str, dict[str, Any]] = {
    "another project": {"aud": "another", "iss": "https://securetoken.google.com/another"},
    "another audience": {"aud": "another"},
    "another issuer": {"iss": f"https://securetoken.google.com/{PROJECT}x"},
    "Google accounts": {"iss": "https://accounts.google.com"},
    "no audience": {"aud": None},
    "no issuer": {"iss": None},
    "an empty uid": {"sub": ""},
    "no uid": {"sub": None},
    "no expiry": {"exp": None},
    "not valid yet": {"nbf": NOW + 3_600},
    "an unknown key": {"key": "invented"},
    "a key that is not published": {"key": "third"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_with_other_claims_is_refused(api: Api, name: str) -> None:
    answer = fetch(api, id_token(**{"sub": UID, **REFUSED[name]}))
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert answer.json()["detail"] == "The token is not valid."


@pytest.mark.parametrize(
    "role", [None, "", "owner", "Customer", 7, ["customer"], {"customer": True}], ids=str
)
def test_a_token_without_a_usable_role_is_refused_with_the_reason(api: Api, role: Any) -> None:
    answer = fetch(api, id_token(UID, role=role))
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert answer.json()["detail"] == (
        "The custom claim `role` is missing or unknown. Set it to one of customer, transporter, driver, admin."
    )
    assert api.connect(f"Bearer {id_token(UID, role=role)}").close_code() == 4401


@pytest.mark.parametrize("fault", ["another project", "an empty uid", "a key that is not published"])
def test_a_token_with_another_fault_is_not_asked_for_its_role(api: Api, fault: str) -> None:
    answer = fetch(api, id_token(**{"sub": UID, "role": None, **REFUSED[fault]}))
    assert (answer.status_code, answer.json()["detail"]) == (401, "The token is not valid.")


@cache
def forged() -> dict[str, str]:
    good = id_token(UID)
    body = jwt.decode(good, options={"verify_signature": False})
    public = private_key("first").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, payload, tail = good.split(".")
    return {
        "HS256 with the public key": signed(body, public, kid="first"),
        "HS256 with the certificate": signed(body, certificate("first").encode(), kid="first"),
        "HS256 that says RS256": signed(body, public, kid="first", alg="RS256"),
        "alg none": jwt.encode(body, "", algorithm="none", headers={"kid": "first"}),
        "RS512": jwt.encode(body, private_key("first"), "RS512", headers={"kid": "first"}),
        "PS256": jwt.encode(body, private_key("first"), "PS256", headers={"kid": "first"}),
        "the key of another id": jwt.encode(body, private_key("second"), "RS256", headers={"kid": "first"}),
        "no kid": jwt.encode(body, private_key("first"), "RS256"),
        "our claims with a key of Firebase": jwt.encode(
            claims(), private_key("first"), "RS256", headers={"kid": "first"}
        ),
        "no signature": f"{head}.{payload}.",
        "another body": f"{head}.{signed({**body, 'role': 'admin'}).split('.')[1]}.{tail}",
    }


FORGED = [
    "HS256 with the public key",
    "HS256 with the certificate",
    "HS256 that says RS256",
    "alg none",
    "RS512",
    "PS256",
    "the key of another id",
    "no kid",
    "our claims with a key of Firebase",
    "no signature",
    "another body",
]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused_over_HTTP_and_on_the_socket(api: Api, name: str) -> None:
    bearer = forged()[name]
    assert fetch(api, bearer).status_code == 401
    assert api.connect(f"Bearer {bearer}").close_code() == 4401


def test_every_forged_token_is_tried() -> None:
    """The list FORGED has the names that `forged()` returns.

    The list is written out, because the ids of the tests are needed on import and `forged()` would make keys then.
    """
    assert list(forged()) == FORGED


def test_clocks_may_differ_by_30_seconds_and_times_of_issue_do_not_matter(api: Api) -> None:
    now = int(time.time())
    for bearer in (
        id_token(UID, exp=now - 20),
        id_token(UID, nbf=now + 20),
        id_token(UID, iat=now + 25, auth_time=now + 25),
        id_token(UID, iat=now + 600, auth_time=now + 600),
        id_token(UID, iat=None, auth_time=None),
        token("customer", uuid4(), ttl=-20),
        token("customer", uuid4(), iat=now + 600),
    ):
        assert fetch(api, bearer).status_code == 200
    for bearer in (id_token(UID, exp=now - 40), token("customer", uuid4(), ttl=-40)):
        assert fetch(api, bearer).json()["code"] == "TOKEN_EXPIRED"


def test_an_id_token_in_the_first_frame_and_a_fresh_one_later(api: Api) -> None:
    client = api.connect()
    client.send(op="auth", token=id_token(UID))
    assert client.frame()["data"]["userId"] == str(uuid5(FIREBASE_USERS, UID))
    client.send(op="auth", token=id_token(UID, key="second"))
    assert client.is_silent()
    client.send(op="auth", token=id_token("another"))
    assert client.close_code() == 4403


@pytest.mark.parametrize("providers", ["jwt", "firebase"])
def test_only_tokens_of_the_chosen_provider_count(migrated: None, keys: KeyServer, providers: str) -> None:
    api = start(keys, providers)
    try:
        own, foreign = fetch(api, token("customer", uuid4())), fetch(api, id_token(UID))
    finally:
        api.stop()
    expected = (200, 401) if providers == "jwt" else (401, 200)
    assert (own.status_code, foreign.status_code) == expected


def test_without_any_key_clients_come_back_and_nobody_else_waits(migrated: None) -> None:
    """While the server of keys hangs, ID tokens get status 503 or close code 1013, and users with our own tokens are served."""
    server = KeyServer("first")
    server.answer = "hang"
    api = start(server, "jwt,firebase")
    try:
        with ThreadPoolExecutor(20) as pool:
            began = time.monotonic()
            waiting = [pool.submit(fetch, api, id_token(UID)) for _ in range(18)]
            sockets = [
                pool.submit(lambda: api.connect(f"Bearer {id_token(UID)}").close_code()) for _ in range(2)
            ]
            for _ in range(5):
                before = time.monotonic()
                assert fetch(api, token("customer", uuid4())).status_code == 200
                api.connect_as().disconnect()
                assert time.monotonic() - before < 1.5
            answers = [each.result() for each in waiting]
            assert time.monotonic() - began < 6
        assert {(each.status_code, each.json()["code"]) for each in answers} == {(503, "SERVICE_UNAVAILABLE")}
        assert {each.headers["Retry-After"] for each in answers} == {"5"}
        assert {each.result() for each in sockets} == {1013}
        assert server.requests == 1
    finally:
        api.stop()
        server.close()


def test_firebase_needs_a_project_and_no_secret_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"WEELO_ENV": "production", "AUTH_PROVIDERS": "firebase", "JWT_SECRET": ""}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match=r"^FIREBASE_PROJECT_ID: must be set"):
            settings()
        monkeypatch.setenv("FIREBASE_PROJECT_ID", PROJECT)
        with pytest.raises(ConfigurationError, match=r"^WEBHOOK_SECRET_KEY: must be set"):
            settings()
        monkeypatch.setenv("WEBHOOK_SECRET_KEY", secrets.token_hex(32))
        assert settings().jwt_secret is None
        settings.cache_clear()
        monkeypatch.setenv("FIREBASE_KEYS_URL", "http://127.0.0.1:9")
        with pytest.raises(ConfigurationError, match=r"^FIREBASE_KEYS_URL: must begin with https"):
            settings()
    finally:
        settings.cache_clear()

"""Invalid requests are refused with the contract's status and code, change nothing, and never cause a 500."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from tests.support.people import BOOKING
from tests.support.system import System
from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")


def with_field(path: str, value: Any) -> dict[str, Any]:
    body = json.loads(json.dumps(BOOKING))
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    target[last] = value
    return body


BAD_BOOKINGS = {
    "text for a number": with_field("pickup.latitude", "28.6"),
    "a number for text": with_field("vehicleType", 17),
    "truth for a number": with_field("trucksNeeded", True),
    "null where something is needed": with_field("pickup", None),
    "an unknown field": with_field("color", "red"),
    "an unknown field inside": with_field("pickup.altitude", 3),
    "beyond the pole": with_field("pickup.latitude", 90.01),
    "beyond the date line": with_field("drop.longitude", -180.5),
    "no trucks": with_field("trucksNeeded", 0),
    "too many trucks": with_field("trucksNeeded", 51),
    "half a truck": with_field("trucksNeeded", 1.5),
    "an enormous number": with_field("trucksNeeded", 10**400),
    "a negative price": with_field("pricePerTruck", -1),
    "a NUL in text": with_field("vehicleSubtype", "17\u0000Feet"),
    "a lone surrogate": with_field("vehicleSubtype", "\ud800"),
    "an empty kind": with_field("vehicleType", "  "),
    "a long text": with_field("notes", "x" * 2000),
    "a list": [BOOKING],
    "nothing": {},
}

BROKEN_BODIES = {
    "broken JSON": b'{"pickup": ',
    "not a number": b'{"pickup": {"latitude": NaN}}',
    "deep nesting": b"[" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a bare string": b'"{}"',
}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert set(body) >= {"type", "title", "detail", "retryable"}
    assert "item" not in body["detail"], "lengths of texts must be counted in characters"
    return body


@pytest.mark.parametrize("name", BAD_BOOKINGS)
def test_a_bad_field_is_400_and_says_which(system: System, name: str) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        content = json.dumps(BAD_BOOKINGS[name])
        answer = customer.post("/bookings", content=content, headers={"Content-Type": "application/json"})
        errors = problem(answer, 400, "VALIDATION_ERROR")["errors"]
        assert errors and all(set(error) == {"field", "message"} for error in errors)
        assert customer.get("/broadcasts/current").status_code == 404


@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_a_broken_body_is_400(system: System, name: str) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        content_type = {"Content-Type": "application/json"}
        answer = customer.post("/bookings", content=BROKEN_BODIES[name], headers=content_type)
        problem(answer, 400, "VALIDATION_ERROR")


def test_more_than_64_kib_is_413_however_it_is_sent(system: System) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        large = b'{"notes": "' + b"x" * 70_000 + b'"}'
        problem(customer.post("/bookings", content=large), 413, "PAYLOAD_TOO_LARGE")
        problem(customer.post("/bookings", content=iter([large])), 413, "PAYLOAD_TOO_LARGE")


def test_unknown_and_malformed_ids_are_4xx(system: System) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        problem(customer.get(f"/bookings/{uuid4()}"), 404, "BOOKING_NOT_FOUND")
        problem(customer.get(f"/broadcasts/{uuid4()}"), 404, "BROADCAST_NOT_FOUND")
        problem(customer.get(f"/commands/{uuid4()}"), 404, "NOT_FOUND")
        problem(customer.put(f"/bookings/{uuid4()}/cancel"), 404, "BOOKING_NOT_FOUND")
        problem(customer.get("/bookings/not-a-uuid"), 400, "VALIDATION_ERROR")
        problem(customer.get("/bookings/%00"), 400, "VALIDATION_ERROR")
        problem(customer.get("/nothing/here"), 404, "NOT_FOUND")
        problem(customer.delete("/bookings"), 405, "METHOD_NOT_ALLOWED")
        problem(customer.get("/broadcasts?limit=0"), 400, "VALIDATION_ERROR")
        problem(customer.get("/broadcasts?cursor=%00%ff"), 400, "VALIDATION_ERROR")


def test_other_peoples_things_do_not_exist(system: System) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as owner, system.http(Role.CUSTOMER, uuid4()) as stranger:
        accepted = owner.post("/bookings", json=BOOKING, headers={"Prefer": ""})
        command = accepted.json()["commandId"]
        booking = owner.get("/broadcasts/current", timeout=20)
        while booking.status_code == 404:
            booking = owner.get("/broadcasts/current")
        its_id = booking.json()["id"]
        problem(stranger.get(f"/bookings/{its_id}"), 404, "BOOKING_NOT_FOUND")
        problem(stranger.get(f"/broadcasts/{its_id}/timeline"), 404, "BROADCAST_NOT_FOUND")
        problem(stranger.get(f"/commands/{command}"), 404, "NOT_FOUND")
        problem(stranger.put(f"/bookings/{its_id}/cancel"), 404, "BOOKING_NOT_FOUND")
        with system.http(Role.TRANSPORTER, uuid4()) as transporter:
            problem(transporter.get(f"/broadcasts/{its_id}"), 404, "BROADCAST_NOT_FOUND")
            body = {"vehicleId": str(uuid4()), "driverId": str(uuid4())}
            problem(transporter.post(f"/broadcasts/{its_id}/accept", json=body), 404, "BROADCAST_NOT_FOUND")
            problem(transporter.post(f"/broadcasts/{its_id}/decline"), 404, "BROADCAST_NOT_FOUND")
        assert owner.put(f"/bookings/{its_id}/cancel").status_code == 200


def test_the_wrong_role_is_403_before_anything_is_read(system: System) -> None:
    with system.http(Role.DRIVER, uuid4()) as driver:
        problem(driver.post("/bookings", content=b"not even JSON"), 403, "FORBIDDEN")
        problem(driver.get("/offers"), 403, "FORBIDDEN")
        problem(driver.put("/transporter/availability", json={"isAvailable": True}), 403, "FORBIDDEN")


def forged() -> dict[str, str]:
    claims = {"sub": str(uuid4()), "role": "customer", "exp": 4_000_000_000}
    secret = "another secret, long enough for HS256"
    return {
        "no algorithm": jwt.encode(claims, "", algorithm="none"),
        "another secret": jwt.encode(claims, secret, "HS256"),
        "another algorithm": jwt.encode(claims, "x" * 64, "HS512"),
        "no expiry": token(Role.CUSTOMER, uuid4()).rsplit(".", 1)[0] + ".x",
        "not a token": "abc.def.ghi",
        "a word": "x",
    }


@pytest.mark.parametrize("name", forged())
def test_a_forged_token_is_401(system: System, name: str) -> None:
    answer = httpx.get(
        f"{system.url}/api/v1/broadcasts", headers={"Authorization": f"Bearer {forged()[name]}"}
    )
    problem(answer, 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "not a uuid"},
        {"role": "king"},
        {"role": None},
        {"sub": None},
        {"role": ["customer"]},
        {"exp": "soon"},
    ],
    ids=str,
)
def test_a_token_with_odd_claims_is_401(system: System, claims: dict[str, Any]) -> None:
    from tests.support.tokens import SECRET

    odd = {"sub": str(uuid4()), "role": "customer", "exp": 4_000_000_000, **claims}
    try:
        text = jwt.encode(odd, SECRET, "HS256")
    except TypeError:  # PyJWT refuses to encode these claims, so the payload is signed directly
        text = jwt.api_jws.encode(json.dumps(odd).encode(), SECRET, "HS256")
    answer = httpx.get(f"{system.url}/api/v1/broadcasts", headers={"Authorization": f"Bearer {text}"})
    problem(answer, 401, "UNAUTHORIZED")


def test_an_expired_token_says_so_and_no_token_too(system: System) -> None:
    expired = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4(), ttl=-40)}"}
    problem(httpx.get(f"{system.url}/api/v1/broadcasts", headers=expired), 401, "TOKEN_EXPIRED")
    problem(httpx.get(f"{system.url}/api/v1/broadcasts"), 401, "UNAUTHORIZED")
    basic = {"Authorization": "Basic Y3VzdG9tZXI6eA=="}
    problem(httpx.get(f"{system.url}/api/v1/broadcasts", headers=basic), 401, "UNAUTHORIZED")


def test_a_bad_key_is_400_and_a_reused_key_is_422(system: System) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        for bad in (b"short", b"x" * 129, b"with space", "ünïcödé-key".encode()):
            answer = customer.post("/bookings", json=BOOKING, headers={b"Idempotency-Key": bad})
            problem(answer, 400, "VALIDATION_ERROR")
        key = {"Idempotency-Key": f"key-{uuid4()}"}
        first = customer.post("/bookings", json=BOOKING, headers=key)
        assert first.status_code == 201
        again = customer.post("/bookings", json=BOOKING, headers=key)
        assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
        problem(
            customer.post("/bookings", json=with_field("trucksNeeded", 2), headers=key),
            422,
            "IDEMPOTENCY_CONFLICT",
        )
        booking = first.json()["id"]
        problem(customer.put(f"/bookings/{booking}/cancel", headers=key), 422, "IDEMPOTENCY_CONFLICT")
        assert customer.put(f"/bookings/{booking}/cancel").status_code == 200

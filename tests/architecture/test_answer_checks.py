"""The check of responses finds every response that deviates from docs/openapi.json."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from tests.support import deviations
from tests.support.answer_checks import Answered, check_raw, operations
from tests.support.raw_http import Answer
from weelo_api import create_app
from weelo_workers.contracts.rejections import Code, problem_body

ID = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d01"
ACCEPT = f"/api/v1/broadcasts/{ID}/accept"
EVERYWHERE = {"X-Request-Id": "x", "RateLimit-Policy": "x"}
OUTCOME = {"Location": "/api/v1/commands/x", "Preference-Applied": "wait=1"}


def differs(
    method: str,
    target: str | None,
    status: int,
    body: Any = None,
    content_type: str = "application/json",
    **headers: str,
) -> str:
    """Return the differences between this response and the document as text; empty if there are none."""
    sent = {
        "Content-Type": content_type,
        **EVERYWHERE,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    content = b"" if body is None else json.dumps(body).encode()
    return "; ".join(operations().deviations(Answered(method, target, status, sent, content)))


def problem(method: str, target: str | None, code: Code, **headers: str) -> str:
    body = problem_body(code)
    return differs(method, target, code.http_status, body, "application/problem+json", **headers)


def declined(**changes: Any) -> dict[str, Any]:
    return {"broadcastId": ID, "declined": True, **changes}


DECLINE = f"/api/v1/broadcasts/{ID}/decline"


def test_an_answer_that_is_described_differs_in_nothing() -> None:
    assert differs("POST", DECLINE, 200, declined(), **OUTCOME) == ""
    assert problem("POST", ACCEPT, Code.BROADCAST_FILLED, **OUTCOME) == ""
    assert problem("POST", DECLINE, Code.BROADCAST_NOT_FOUND, **OUTCOME) == ""
    assert problem("GET", "/nowhere", Code.NOT_FOUND) == ""
    assert differs("GET", "/healthz", 200, {"status": "ok"}) == ""
    assert differs("HEAD", "/healthz", 200) == ""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (differs("POST", DECLINE, 200, declined(more=1), **OUTCOME), "more"),
        (differs("POST", DECLINE, 200, declined(broadcastId="x"), **OUTCOME), "broadcastId"),
        (differs("POST", DECLINE, 200, {"declined": True}, **OUTCOME), "broadcastId"),
        (differs("POST", DECLINE, 200, declined(), Location="x"), "no header Preference-Applied"),
        (
            differs("POST", DECLINE, 200, declined(), "text/plain", **OUTCOME),
            "the content type is text/plain",
        ),
        (differs("POST", DECLINE, 201, declined(), **OUTCOME), "the status is not described"),
        (problem("POST", DECLINE, Code.BROADCAST_FILLED, **OUTCOME), "the status is not described"),
        (problem("POST", ACCEPT, Code.HOLD_EXPIRED, **OUTCOME), "HOLD_EXPIRED"),
        (problem("POST", ACCEPT, Code.UNAUTHORIZED), "no header WWW-Authenticate"),
        (problem("GET", "/nowhere", Code.HOLD_NOT_FOUND), "the code is HOLD_NOT_FOUND"),
        (differs("GET", "/api/v1/nowhere", 200, {}), "the document has no such operation"),
        (differs("GET", "/nowhere", 404, {}, "text/html"), "the content type of an error is text/html"),
        (differs("GET", "/healthz", 200, {"status": "dead"}), "status"),
    ],
)
def test_DOCS_01_a_deviation_is_found(found: str, expected: str) -> None:
    assert expected in found


def test_DOCS_01_the_answers_of_flask_and_httpx_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document is replaced by one without operations, so every answer with a status below 400 deviates from it."""
    empty = type(operations())({"paths": {}, "components": {"schemas": {"Problem": {}}}})
    monkeypatch.setattr("tests.support.answer_checks.operations", lambda: empty)
    create_app().test_client().get("/healthz")
    assert [found.partition(";")[0] for found in deviations.take()] == [
        "GET /healthz 200: the document has no such operation"
    ]
    transport = httpx.WSGITransport(create_app())
    with httpx.Client(transport=transport, base_url="http://here") as client:
        client.get("/healthz")
    assert len(deviations.take()) == 1
    with deviations.tolerated():
        create_app().test_client().get("/healthz")
    assert deviations.take() == []


def test_answers_of_other_servers_are_not_compared() -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, text="another server"))
    with httpx.Client(transport=answer, base_url="http://here") as client:
        client.get("/api/v1/nowhere")
    assert deviations.take() == []


def test_an_undeclared_rejection_in_a_log_is_found() -> None:
    line = "offers.accept is rejected with TOO_EARLY, which it does not declare"
    logging.getLogger("weelo_workers.messaging.run").error(line)
    assert deviations.take() == [line]
    deviations.record_from_log(["weelo ready", line])
    assert deviations.take() == [line]


def test_an_answer_to_bytes_is_compared() -> None:
    headers = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
    answer = Answer(200, {**headers, "content-type": "application/json"}, b"{}")
    check_raw(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n", [(answer.status, answer.headers, answer.body)])
    assert len(deviations.take()) == 1

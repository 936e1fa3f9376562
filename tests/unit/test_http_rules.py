"""Headers of responses, request heads that are refused, and JSON objects with a repeated name."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from flask import Flask, Response
from gunicorn.http import errors
from pydantic import ValidationError

from weelo_api.http import addresses, headers
from weelo_api.http.errors import validation_error
from weelo_api.http.json_body import refuse_duplicates
from weelo_api.server.malformed import InvalidHost, check_head, problem_of, response
from weelo_workers.contracts.rejections import Rejected
from weelo_workers.contracts.trips import Ending
from weelo_workers.contracts.webhooks import NewWebhook


@pytest.fixture
def app() -> Flask:
    app = Flask("test")
    headers.register(app)

    @app.get("/<path:path>")
    def answer(path: str) -> Response:
        return Response(status=int(path[-3:]))

    return app


@pytest.mark.parametrize(
    ("path", "private"),
    [("/api/v1/x/200", True), ("/docs/200", False), ("/docs/404", True), ("/api/v1/x/401", True)],
)
def test_personal_data_and_errors_are_not_cached(app: Flask, path: str, private: bool) -> None:
    answer = app.test_client().get(path)
    assert ("Cache-Control" in answer.headers, "Content-Security-Policy" in answer.headers) == (private,) * 2
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("status", "header", "value"),
    [
        (401, "WWW-Authenticate", "Bearer"),
        (415, "Accept", "application/json"),
        (415, "Accept-Encoding", "identity"),
        (403, "WWW-Authenticate", None),
        (400, "Accept", None),
    ],
)
def test_a_status_has_the_header_that_its_rfc_requires(
    app: Flask, status: int, header: str, value: str | None
) -> None:
    assert app.test_client().get(f"/x/{status}").headers.get(header) == value


def test_a_view_may_set_its_own_caching(app: Flask) -> None:
    @app.get("/api/v1/kinds")
    def kinds() -> Response:
        return Response(headers={"Cache-Control": "max-age=60"})

    assert app.test_client().get("/api/v1/kinds").headers["Cache-Control"] == "max-age=60"


@pytest.mark.parametrize(
    ("raw", "needless"),
    [
        ("/api%2Fv1", True),
        ("/%61pi", True),
        ("/%2e%2e/x", True),
        ("/x%7E", False),
        ("/x%20y", False),
        ("/HR%C3%A9", False),
        ("/%5Fx", True),
        ("/%30", True),
    ],
)
def test_characters_that_need_no_encoding_are_refused_encoded(raw: str, needless: bool) -> None:
    assert (addresses._NEEDLESSLY_ENCODED.search(raw) is not None) is needless


@pytest.mark.parametrize(
    ("sent", "version", "refused"),
    [
        ([("HOST", "weelo.example:8000")], (1, 1), None),
        ([("HOST", "[::1]:8000")], (1, 1), None),
        ([("HOST", "")], (1, 1), None),
        ([], (1, 1), InvalidHost),
        ([], (1, 0), None),
        ([("HOST", "a"), ("HOST", "a")], (1, 1), InvalidHost),
        ([("HOST", "a"), ("HOST", "b")], (1, 0), InvalidHost),
        ([("HOST", "a/b")], (1, 1), InvalidHost),
        ([("HOST", "a:b")], (1, 1), InvalidHost),
        ([("HOST", "user@a")], (1, 1), InvalidHost),
        ([("HOST", "a"), ("TRANSFER-ENCODING", " Chunked ")], (1, 1), None),
        ([("HOST", "a"), ("TRANSFER-ENCODING", "gzip, chunked")], (1, 1), errors.UnsupportedTransferCoding),
    ],
)
def test_a_head_has_one_valid_host_and_no_coding_but_chunked(
    sent: list[tuple[str, str]], version: tuple[int, int], refused: type[Exception] | None
) -> None:
    head = SimpleNamespace(headers=sent, version=version)
    if refused is None:
        check_head(head)
        return
    with pytest.raises(refused):
        check_head(head)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequestLine("x"), 400, "VALIDATION_ERROR"),
        (errors.InvalidHTTPVersion("x"), 400, "VALIDATION_ERROR"),
        (errors.InvalidHTTPVersion((2, 0)), 505, "VALIDATION_ERROR"),
        (errors.LimitRequestLine(1, 2), 414, "VALIDATION_ERROR"),
        (errors.LimitRequestHeaders("x"), 431, "VALIDATION_ERROR"),
        (errors.UnsupportedTransferCoding("x"), 501, "VALIDATION_ERROR"),
        (errors.InvalidHeader("x"), 400, "VALIDATION_ERROR"),
        (InvalidHost(), 400, "VALIDATION_ERROR"),
        (errors.ConfigurationProblem("x"), 500, "INTERNAL_ERROR"),
        (RuntimeError("x"), 500, "INTERNAL_ERROR"),
    ],
    ids=repr,
)
def test_what_cannot_be_parsed_is_a_problem_with_its_status(error: Exception, status: int, code: str) -> None:
    body = problem_of(error)
    assert (body["status"], body["code"]) == (status, code)
    answer = response(body, "the-id")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nX-Request-Id: the-id\r\n" in answer


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ('{"a": 1, "b": 2}', None),
        ('{"a": {"b": 1}, "b": 1}', None),
        ('{"a": 1, "a": 1}', "a"),
        ('[{"x": [{"b": 1, "c": 2, "b": 3}]}]', "b"),
        ('{"\\u0061": 1, "a": 2}', "a"),
        ("{not json", None),
        ("[" * 100_000, None),
        ("9" * 10_000, None),
        ("", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_name_appears_once_in_an_object(text: str, twice: str | None) -> None:
    if twice is None:
        refuse_duplicates(text)
        return
    with pytest.raises(Rejected) as refused:
        refuse_duplicates(text)
    assert refused.value.extra["errors"][0]["field"] == twice


def test_a_value_of_none_of_several_types_is_one_error_of_its_field() -> None:
    with pytest.raises(ValidationError) as refused:
        Ending.model_validate_json(json.dumps({"outcome": "failed", "reasonCode": "stalled", "note": " "}))
    errors = validation_error(refused.value).extra["errors"]
    assert [each["field"] for each in errors] == ["reasonCode", "note"]
    assert "breakdown" in errors[0]["message"] and "plans_changed" in errors[0]["message"]
    assert "item" not in errors[1]["message"]


@pytest.mark.parametrize(
    ("events", "field", "message"),
    [
        ([], "events", "must have at least 1 item"),
        (["truck_lost"] * 51, "events", "must have at most 50 items"),
        (["nothing"], "events.0", "Input should be '*'"),
        ([7], "events.0", "Input should be '*'"),
    ],
)
def test_a_wrong_list_is_one_error_in_words_of_json(events: list[object], field: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        NewWebhook.model_validate_json(json.dumps({"url": "https://example.com", "events": events}))
    [error] = validation_error(refused.value).extra["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)
    assert "tuple" not in error["message"].lower()

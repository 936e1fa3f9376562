"""A request, its command in a worker and the resulting frames share one trace.

A timer begins a new trace, with a link to the trace of the command that set the timer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_trace_id

from tests.support.changed_settings import with_settings
from tests.support.people import BOOKING
from tests.support.tokens import token
from tests.support.world import World
from weelo_api import create_app
from weelo_workers import tracing
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging import handlers
from weelo_workers.tracing import spans as tracing_spans

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self._exporter)

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def one(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.all if span.name == name]
        return span


def trace_of(span: ReadableSpan) -> int:
    return int(span.get_span_context().trace_id)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    return int(span.get_span_context().span_id)


@pytest.fixture
def spans(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    with_settings(monkeypatch, otel_exporter_otlp_endpoint="http://127.0.0.1:1")
    made = Spans()
    tracing_spans.start(made.processor)
    yield made
    tracing_spans.stop()


def book(**headers: str) -> dict[str, Any]:
    good = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}", **headers}
    answer = create_app().test_client().post("/api/v1/bookings", json=BOOKING, headers=good)
    assert answer.status_code == 202
    body: dict[str, Any] = answer.get_json()
    return body


def test_one_trace_goes_from_the_request_to_the_frames(world: World, spans: Spans) -> None:
    posted = book()["commandId"]
    world.drain()
    request, command = spans.one("POST /api/v1/bookings"), spans.one("broadcasts.create_booking")
    assert (request.kind, command.kind) == (SpanKind.SERVER, SpanKind.CONSUMER)
    assert parent_of(request) is None and parent_of(command) == id_of(request)
    assert request.attributes and request.attributes["http.response.status_code"] == 202
    assert command.attributes is not None
    assert command.attributes["weelo.command_id"] == posted
    assert command.attributes["weelo.outcome"] == "settled"
    assert float(command.attributes["weelo.queue_wait"]) >= 0  # type: ignore[arg-type]
    frames = [
        span for span in spans.all if span.name == "publish frames" and parent_of(span) == id_of(command)
    ]
    assert len(frames) == 1
    assert {trace_of(span) for span in (request, command, *frames)} == {trace_of(request)}


def test_what_a_timer_causes_is_a_new_trace_with_a_link(world: World, spans: Spans) -> None:
    book()
    world.drain()
    request = spans.one("POST /api/v1/bookings")
    world.tick(1_000)
    expired = spans.one("broadcasts.expire")
    assert trace_of(expired) != trace_of(request) and parent_of(expired) is None
    [link] = expired.links
    assert link.context.trace_id == trace_of(request)
    assert expired.attributes and expired.attributes["weelo.fired_by"] == "countdown"


def test_a_client_that_traces_finds_the_request_in_its_trace(world: World, spans: Spans) -> None:
    book(traceparent=PARENT)
    request = spans.one("POST /api/v1/bookings")
    assert format_trace_id(trace_of(request)) == PARENT.split("-")[1]
    book(traceparent="nonsense")
    assert format_trace_id(trace_of(spans.all[-1])) != PARENT.split("-")[1]


def test_a_command_that_fails_is_marked_without_the_text_of_its_error(
    world: World, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_command: Command, _uow: object) -> None:
        raise LookupError("+91 98100 12345")

    monkeypatch.setitem(handlers._handlers, "broadcasts.create_booking", fail)
    book()
    world.drain()
    command = spans.one("broadcasts.create_booking")
    assert (command.status.is_ok, command.status.description) == (False, "LookupError")
    assert "98100" not in command.to_json()


def test_while_traces_are_off_nothing_of_them_is_stored(world: World) -> None:
    assert not tracing.are_on()
    book(traceparent=PARENT)
    world.drain()
    assert world.value("SELECT count(*) FROM mailbox") > 1
    assert world.value("SELECT count(*) FROM mailbox WHERE traceparent IS NOT NULL") == 0


OF_OTHER_PROGRAMS = {
    "OTEL_PYTHON_CONTEXT": "nope",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nope",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "nope",
    "OTEL_PYTHON_ID_GENERATOR": "nope",
    "OTEL_PROPAGATORS": "nope",
}
A_SPAN = """
from weelo_workers import bootstrap
bootstrap.start_server("worker")
from weelo_workers import tracing
with tracing.span("a request", "server", {}):
    print(tracing.traceparent())
"""


PROGRAMS = {
    "a span": ("-c", A_SPAN),
    "weelo": ("-m", "weelo_workers.entry", "--version"),
    "worker": ("-m", "weelo_workers", "worker", "--help"),
    "api": ("-m", "gunicorn", "--config=python:weelo_api.server.gunicorn", "--check-config"),
}


def output_of(program: str, **variables: str) -> tuple[str, str]:
    """Return what a new process with these variables has printed, and what it has logged."""
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program]],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_variables_for_other_programs_with_OpenTelemetry_change_nothing(program: str, migrated: None) -> None:
    printed, logged = output_of(program, **OF_OTHER_PROGRAMS)
    assert printed.startswith("00-") or program != "a span"
    assert "Traceback" not in logged and "nope" not in logged


def test_a_wrong_setting_of_the_batches_fails_no_request_and_is_logged() -> None:
    printed, logged = output_of("a span", OTEL_BSP_MAX_QUEUE_SIZE="-1")
    assert printed.startswith("00-")
    assert "Traceback" not in logged
    [line] = logged.splitlines()
    assert "ERROR" in line and "no traces are sent: max_queue_size must be a positive integer." in line

"""The part of the traces that imports OpenTelemetry."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from weelo_workers.logs import configuring, context
from weelo_workers.logs.outages import Outage
from weelo_workers.settings import given, settings

EXPORT_SECONDS = 5.0
"""The limit for sending one batch of spans."""
FLUSH_SECONDS = 1.0

log = logging.getLogger(__name__)

_PATH = "/v1/traces"
_HEADER = "traceparent"
_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_propagator = TraceContextTextMapPropagator()
_starting = threading.Lock()
_providers: dict[int, TracerProvider] = {}
"""The provider of this process, by its pid. A forked child process makes one of its own, because threads do not survive a fork."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    span: Span
    attached: Token[Context]


_attempt: ContextVar[_Attempt | None] = ContextVar("the span of the command at hand", default=None)


class _Exporter(SpanExporter):
    """Sends spans, and logs once if the collector cannot be reached, instead of every few seconds."""

    def __init__(self, endpoint: str) -> None:
        # OpenTelemetry logs each failure, so its lines are dropped.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(endpoint.rstrip("/") + _PATH, timeout=EXPORT_SECONDS)
        self._outage = Outage("the collector of traces")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.answered()
        else:
            self._outage.failed("traces are lost until it answers")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def start(processor: SpanProcessor | None = None) -> TracerProvider:
    """Begin to send traces from this process. Without `processor` they are sent in batches by a thread."""
    service = {
        SERVICE_NAME: given("OTEL_SERVICE_NAME") or "weelo",
        "weelo.process": configuring.process_kind(),
    }
    provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    try:
        provider.add_span_processor(processor or _in_batches())
    except Exception as error:  # noqa: BLE001 (a wrong setting of the traces must fail no request and no command)
        log.error("no traces are sent: %s", error)  # noqa: TRY400 (the text names the setting)
    atexit.register(flush)
    _providers[os.getpid()] = provider
    return provider


def _in_batches() -> SpanProcessor:
    return BatchSpanProcessor(_Exporter(settings().otel_exporter_otlp_endpoint or ""))


def stop() -> None:
    """Drop the trace provider of this process, for tests."""
    if provider := _providers.pop(os.getpid(), None):
        provider.shutdown()


def flush() -> None:
    """Send the spans that are not sent yet. Waits for at most FLUSH_SECONDS, because the collector may not answer."""
    if (provider := _providers.get(os.getpid())) is not None:
        sending = threading.Thread(target=provider.force_flush, name="flush of traces", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


@contextmanager
def span(name: str, kind: str, *, parent: str | None, attributes: Mapping[str, Any]) -> Iterator[None]:
    begun = _tracer().start_as_current_span(
        name,
        context=_context_of(parent) if parent is not None else None,
        kind=_KINDS[kind],
        attributes=_present(attributes),
        # Exceptions are not recorded by the library, because their messages may quote a row or a request.
        record_exception=False,
        set_status_on_exception=False,
    )
    with begun as current:
        unbound = context.bind(trace_id=_trace_id(current))
        try:
            yield
        except Exception as error:
            _note_error(current, error)
            raise
        finally:
            context.restore(unbound)


def begin_command(name: str, sender: str | None, *, is_timer: bool, attributes: Mapping[str, Any]) -> None:
    if _attempt.get() is not None:
        return
    sent_by = _context_of(sender) if sender is not None else Context()
    links = [Link(trace.get_current_span(sent_by).get_span_context())] if is_timer and sender else []
    begun = _tracer().start_span(
        name,
        context=Context() if is_timer else sent_by,
        kind=SpanKind.CONSUMER,
        attributes=_present({"weelo.command": name, **attributes}),
        links=links,
    )
    _attempt.set(_Attempt(begun, attach(trace.set_span_in_context(begun))))
    context.bind(trace_id=_trace_id(begun))


def end_command(error: BaseException | None) -> None:
    attempt = _attempt.get()
    if attempt is None:
        return
    _attempt.set(None)
    if error is not None:
        _note_error(attempt.span, error)
    detach(attempt.attached)
    attempt.span.end()


def annotate(attributes: Mapping[str, Any]) -> None:
    trace.get_current_span().set_attributes(_present(attributes))


def traceparent() -> str | None:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_HEADER)


def _tracer() -> trace.Tracer:
    provider = _providers.get(os.getpid())
    if provider is None:
        with _starting:
            provider = _providers.get(os.getpid()) or start()
    return provider.get_tracer("weelo")


def _context_of(parent: str) -> Context:
    """Return the context of a stored `traceparent`; an empty one, which begins a new trace, if it is malformed."""
    return _propagator.extract({_HEADER: parent}, context=Context())


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    usual = (str, bool, int, float)
    return {
        name: value if isinstance(value, usual) else str(value)
        for name, value in attributes.items()
        if value is not None
    }


def _note_error(of: Span, error: BaseException) -> None:
    of.set_status(Status(StatusCode.ERROR, type(error).__name__))


def _trace_id(of: Span) -> str:
    return trace.format_trace_id(of.get_span_context().trace_id)

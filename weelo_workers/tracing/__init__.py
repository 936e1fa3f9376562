"""Traces for OpenTelemetry: from a request through the mailbox and a worker to frames, pushes and webhooks.

They are off unless OTEL_EXPORTER_OTLP_ENDPOINT is set. While they are off, nothing of OpenTelemetry is imported, and
these functions return at once. A trace goes from process to process as `traceparent` (W3C Trace Context), in a column
of the mailbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from weelo_workers.settings import settings

Attributes = Mapping[str, Any]
Kind = Literal["server", "consumer", "producer", "client"]

_OFF: AbstractContextManager[None] = nullcontext()


def are_on() -> bool:
    """Return whether this system sends traces."""
    return settings().otel_exporter_otlp_endpoint is not None


def span(
    name: str, kind: Kind, attributes: Attributes, *, parent: str | None = None
) -> AbstractContextManager[None]:
    """Return a context manager that makes a span for a step of the current trace. Exceptions in its block are recorded.

    `parent`: the `traceparent` to continue, for a step whose trace began in another process. `attributes`: must not
    contain names, phone numbers, places, texts or tokens. An attribute that is None is left out.
    """
    if not are_on():
        return _OFF
    from weelo_workers.tracing import spans  # noqa: PLC0415 (its packages are optional)

    return spans.span(name, kind, parent=parent, attributes=attributes)


def begin_command(name: str, sender: str | None, attributes: Attributes, *, is_timer: bool) -> None:
    """Begin the span of an attempt at a command. Until `end_command` ends it, calling this again has no effect.

    `sender`: the `traceparent` that is stored with the command. A timer may fire hours after it was set, so its command
    begins a new trace, with a link to the trace that has set the timer.
    """
    if are_on():
        from weelo_workers.tracing import spans  # noqa: PLC0415

        spans.begin_command(name, sender, is_timer=is_timer, attributes=attributes)


def end_command(error: BaseException | None = None) -> None:
    """End the span of the current attempt, if one has begun. `error`: why it failed."""
    if are_on():
        from weelo_workers.tracing import spans  # noqa: PLC0415

        spans.end_command(error)


def annotate(attributes: Attributes) -> None:
    """Add attributes to the current span. An attribute that is None is left out."""
    if are_on():
        from weelo_workers.tracing import spans  # noqa: PLC0415

        spans.annotate(attributes)


def traceparent() -> str | None:
    """Return the `traceparent` of the current span, to be stored with what the span causes; None outside of a trace."""
    if not are_on():
        return None
    from weelo_workers.tracing import spans  # noqa: PLC0415

    return spans.traceparent()


def flush() -> None:
    """Send the spans that are not sent yet, before the process ends. Waits for at most a second."""
    if are_on():
        from weelo_workers.tracing import spans  # noqa: PLC0415

        spans.flush()

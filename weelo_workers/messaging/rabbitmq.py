"""Checks whether the RabbitMQ of a URL can be used as the broker."""

from __future__ import annotations

from weelo_workers import rabbitmq_url

ANSWER_SECONDS = 2.0


def fault(url: str) -> str | None:
    """Return one line that says why this RabbitMQ cannot be used; None if it can. Opens a connection and changes nothing."""
    # The library is imported only if the broker is RabbitMQ, because `weelo` starts faster without it.
    from kombu.connection import Connection  # noqa: PLC0415
    from kombu.exceptions import OperationalError  # noqa: PLC0415

    chosen = rabbitmq_url.for_celery(url)
    limits = {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    connection = Connection(  # type: ignore[no-untyped-call]
        chosen["broker_url"],
        ssl=chosen["broker_use_ssl"] or False,
        connect_timeout=ANSWER_SECONDS,
        transport_options=limits,
    )
    try:
        connection.connect()  # type: ignore[no-untyped-call]
    except (*connection.connection_errors, *connection.channel_errors, OperationalError, OSError) as problem:
        return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
    finally:
        connection.release()  # type: ignore[no-untyped-call]
    return None

"""The process of the sandbox: `python -m weelo_api.sandbox`. `weelo up --sandbox` runs it."""

from __future__ import annotations

import signal
import threading

from weelo_workers import bootstrap

IDLE_SECONDS = 0.05
BUSY_SECONDS = 0.01


def main() -> None:
    """Act for the robots and move the clock until a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    bootstrap.start_server("sandbox")
    from weelo_api.sandbox.loop import Loop  # noqa: PLC0415 (it imports prometheus_client)

    loop = Loop()
    while not stop.wait(BUSY_SECONDS if loop.is_moving else IDLE_SECONDS):
        loop.turn()


if __name__ == "__main__":
    main()

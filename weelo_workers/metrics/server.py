"""A program's own /metrics: for workers and beat, which have no other HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from weelo_workers.metrics import multiprocess_dir
from weelo_workers.metrics.counters import IN_THIS_PROCESS

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


class ProgramCollector(Collector):
    """Of the parent and its children, the dead ones included."""

    def collect(self) -> Iterable[Any]:
        own = multiprocess_dir.current_dir()
        if own is None:
            return IN_THIS_PROCESS.collect()
        multiprocess_dir.merge_dead(own)
        return multiprocess_dir.merged([own])


class MetricsServer:
    """Serves at one address as long as the process lives. A port that is taken keeps nobody from working."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._listener: Any = None

    def start(self) -> None:
        """At once if the port is free; otherwise it says so, and looks again every few seconds."""
        if not self._listening(complain=True):
            threading.Thread(target=self._keep_trying, name="metrics-port", daemon=True).start()

    def drop_inherited(self) -> None:
        """In a forked child: the parent's listener is not ours to keep open."""
        if self._listener is not None:
            self._listener.socket.close()

    def _keep_trying(self) -> None:
        while not self._listening(complain=False):
            threading.Event().wait(RETRY_SECONDS)
        log.warning("metrics are served at %s:%d now", *self._address)

    def _listening(self, *, complain: bool) -> bool:
        host, port = self._address
        registry = CollectorRegistry()
        registry.register(ProgramCollector())
        try:
            self._listener, _ = start_http_server(port, addr=host, registry=registry)
        except OSError as problem:
            if complain:
                log.warning("METRICS_PORT: no metrics at %s:%d: %s", host, port, problem.strerror)
            return False
        return True

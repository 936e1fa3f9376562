"""The HTTP server for /metrics of workers and of beat."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from weelo_workers.metrics import merging, multiprocess_dir
from weelo_workers.metrics.counters import IN_THIS_PROCESS

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


class ProgramCollector(Collector):
    """Collects the metrics of the parent and its children, dead ones included."""

    def collect(self) -> Iterable[Any]:
        own = multiprocess_dir.current_dir()
        if own is None:
            return IN_THIS_PROCESS.collect()
        multiprocess_dir.make_again_if_deleted()
        merging.merge_dead(own)
        return merging.merged([own])


class MetricsServer:
    """Serves /metrics at one address for the life of the process. A port that is in use does not stop the process."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._listener: Any = None

    def start(self) -> None:
        """Listen now if the port is free. Otherwise log that it is not, and retry every few seconds."""
        if not self._listening(complain=True):
            threading.Thread(target=self._retry_until_listening, name="metrics-port", daemon=True).start()

    def drop_inherited(self) -> None:
        """In a forked child: close the inherited socket, so that only the parent keeps the port open."""
        if self._listener is not None:
            self._listener.socket.close()

    def _retry_until_listening(self) -> None:
        while not self._listening(complain=False):
            threading.Event().wait(RETRY_SECONDS)
        log.warning("metrics are now served at %s:%d", *self._address)

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

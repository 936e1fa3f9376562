"""The HTTP server of workers and of beat: /metrics, /healthz and /readyz."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from weelo_workers import forking
from weelo_workers.metrics import merging, multiprocess_dir
from weelo_workers.metrics.counters import IN_THIS_PROCESS
from weelo_workers.metrics.gauges import CLOCK_SKEW

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0

WhyNotReady = Callable[[], str | None]
"""Returns why this program is not ready; None if it is. It has to return within 3 s."""

ClockSkew = Callable[[], float | None]
"""Returns how far (seconds) the clock of this machine is ahead of PostgreSQL's; None if that is not known. It has to
return within 3 s."""


class ProgramCollector(Collector):
    """Collects the metrics of the parent process and of its child processes, ended ones included."""

    def collect(self) -> Iterable[Any]:
        own = multiprocess_dir.current_dir()
        if own is None:
            return IN_THIS_PROCESS.collect()
        with forking.delayed():
            multiprocess_dir.make_again_if_deleted()
            merging.merge_dead(own)
            return merging.merged([own])


class ClockSkewCollector(Collector):
    """Measures the clock of this machine against PostgreSQL's at each scrape."""

    def __init__(self, clock_skew: ClockSkew) -> None:
        self._clock_skew = clock_skew

    def collect(self) -> Iterable[Any]:
        skew = self._clock_skew()
        return () if skew is None else (CLOCK_SKEW.with_value(skew),)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds; a client that sends nothing for longer is disconnected

    def log_message(self, *_: Any) -> None:
        pass


class MetricsServer:
    """Serves one address for the life of the process. A port that is in use does not stop the process."""

    def __init__(self, host: str, port: int, why_not_ready: WhyNotReady, clock_skew: ClockSkew) -> None:
        self._address = (host, port)
        self._why_not_ready = why_not_ready
        self._listener: WSGIServer | None = None
        registry = CollectorRegistry()
        registry.register(ProgramCollector())
        registry.register(ClockSkewCollector(clock_skew))
        self._metrics = make_wsgi_app(registry)

    def start(self) -> None:
        """Listen now if the port is free. Otherwise log that the port is in use, and retry every few seconds."""
        if not self._listening(complain=True):
            threading.Thread(target=self._retry_until_listening, name="metrics-port", daemon=True).start()

    def drop_inherited(self) -> None:
        """Close the inherited socket in a forked child process, so that only the parent keeps the port open."""
        if self._listener is not None:
            self._listener.socket.close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/healthz":
            return _json(start_response, "200 OK", {"status": "ok"})
        if environ["PATH_INFO"] == "/readyz":
            if reason := self._why_not_ready():
                return _json(
                    start_response, "503 Service Unavailable", {"status": "unavailable", "reason": reason}
                )
            return _json(start_response, "200 OK", {"status": "ready"})
        if environ["PATH_INFO"] != "/metrics":
            return _json(start_response, "404 Not Found", {"detail": "see /metrics, /healthz and /readyz"})
        return self._metrics(environ, start_response)  # type: ignore[no-any-return]

    def _retry_until_listening(self) -> None:
        while not self._listening(complain=False):
            threading.Event().wait(RETRY_SECONDS)
        log.warning("metrics are now served at %s:%d", *self._address)

    def _listening(self, *, complain: bool) -> bool:
        host, port = self._address
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            server = _ServerV6 if family == socket.AF_INET6 else _Server
            self._listener = make_server(
                host, port, self._answer, server_class=server, handler_class=_Handler
            )
            threading.Thread(target=self._listener.serve_forever, name="metrics-server", daemon=True).start()
        except OSError as problem:
            if complain:
                log.warning("METRICS_PORT: no metrics at %s:%d: %s", host, port, problem.strerror)
            return False
        return True


def _json(start_response: StartResponse, status: str, body: dict[str, str]) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]

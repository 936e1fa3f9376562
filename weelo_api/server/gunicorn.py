"""gunicorn's settings and hooks for the API: `gunicorn --config python:weelo_api.server.gunicorn`."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Flask

from weelo_workers import bootstrap, tracing
from weelo_workers.metrics import multiprocess_dir
from weelo_workers.settings import ConfigurationError

wsgi_app = "weelo_api.server.gunicorn:start()"
worker_class = "weelo_api.server.worker.SlowClientSafeWorker"
logger_class = "weelo_api.server.logger.GunicornLogger"
workers = 2
threads = 200  # threads start on demand; a request that waits for an outcome occupies one
worker_connections = 3_000
backlog = 2_048
# This time is longer than the idle timeout of common load balancers, so that load balancers close idle connections
# first.
keepalive = 75
timeout = 30
graceful_timeout = 5
# The application is created once, before the fork, so that an invalid setting prevents the start. Threads start after
# the fork.
preload_app = True
# Workers send heartbeats to the arbiter through a file. On a file system in memory this never waits for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
control_socket_disable = True  # if enabled, servers on one machine would share one control socket
accesslog = None
# The request line must have room for the paths under `/devices`. They contain an FCM token, which may have 4,096
# characters.
limit_request_line = 8_190
# The API uses neither the client's address nor the scheme that a proxy reports, so it trusts forwarding headers from no
# peer. By default gunicorn accepts them from loopback and Unix sockets, and a header could change the path after a
# proxy checked it.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

# If the system refuses to set the hard limit, these limits of open files are tried in this order.
FILE_LIMITS = (65_536, 24_576, 10_240)
POLL_SECONDS = 0.1
CLOSE_WITHIN_SECONDS = 3.0


def start() -> Flask:
    """Prepare the arbiter's process and return the application. gunicorn calls this once, before the first fork."""
    # If SCRIPT_NAME were set, gunicorn would require every path to begin with its value.
    os.environ.pop("SCRIPT_NAME", None)
    bootstrap.start_server("api", always_share_metrics=True)
    from weelo_api import create_app

    try:
        return create_app()
    except ConfigurationError as unusable:
        raise SystemExit(f"weelo: {unusable}") from None  # gunicorn prints a traceback for other exceptions


def pre_fork(server: Any, worker: Any) -> None:
    # The workers' garbage collectors do not touch frozen objects, so the memory pages of these objects stay shared.
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    from weelo_workers.models.engine import drop_inherited_connections

    drop_inherited_connections()
    raise_file_limit()


def raise_file_limit() -> None:
    """Raise this process's limit of open files as far as the system permits.

    Each socket is an open file, and the usual limit is a thousand. macOS refuses a limit above its OPEN_MAX, although its
    hard limit is infinite.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *FILE_LIMITS):
        if soft == resource.RLIM_INFINITY or (wanted != resource.RLIM_INFINITY and wanted <= soft):
            return
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def post_worker_init(worker: Any) -> None:
    """Start the threads for live events and for the metrics. The worker's main thread calls this before it serves."""
    from weelo_api.commands.outcome_waiters import outcome_waiters
    from weelo_api.http import request_metrics
    from weelo_api.metrics import start_publisher
    from weelo_api.server.worker import reporting_no_threads
    from weelo_api.websocket.hub import hub

    multiprocess_dir.make_again_if_deleted()
    from weelo_workers.metrics import counters

    counters.count_start("api")
    request_metrics.initialize()
    with reporting_no_threads():
        outcome_waiters()
        hub()
        start_publisher()
    # Ctrl-C sends workers SIGINT, and the arbiter then sends SIGQUIT. Both must stop gracefully, like SIGTERM.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, worker.handle_exit)
    worker.closing_time = threading.Thread(target=_close_sockets_of, args=(worker,), daemon=True)
    with reporting_no_threads():
        worker.closing_time.start()


def _close_sockets_of(worker: Any) -> None:
    """End waiting requests and close the hub's sockets when the worker is ending.

    gunicorn does not know these sockets and has no hook for SIGTERM, so this thread polls. The worker is ending if it
    is no longer `alive`, or if its arbiter has died.
    """
    from weelo_api.commands.outcome_waiters import outcome_waiters
    from weelo_api.websocket.hub import hub

    while not _is_ending(worker):
        time.sleep(POLL_SECONDS)
    outcome_waiters().closing = True
    hub().close_all()


def _is_ending(worker: Any) -> bool:
    return not worker.alive or os.getppid() != worker.ppid


def child_exit(server: Any, worker: Any) -> None:
    """Merge the metrics of dead workers, in the arbiter."""
    from weelo_workers.metrics import merging

    if (own := multiprocess_dir.current_dir()) is not None:
        multiprocess_dir.make_again_if_deleted()
        merging.merge_dead(own)


def worker_exit(server: Any, worker: Any) -> None:
    """Exit at once when all sockets are closed: a regular interpreter exit would take seconds of the grace period.

    gunicorn calls this at the end of a worker's process. For a worker that has vanished, gunicorn calls this in the
    arbiter, which must not exit, so the pid is compared.
    """
    if os.getpid() == worker.pid and worker.booted and _is_ending(worker):
        worker.closing_time.join(CLOSE_WITHIN_SECONDS)
        tracing.flush()
        logging.shutdown()
        os._exit(0)

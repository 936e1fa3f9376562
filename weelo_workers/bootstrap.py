"""Sets up the interpreter and the libraries of a process when it starts. No module of ours does so on its import.

`weelo_workers/__main__.py`, `weelo_workers/entry.py` and `start` in `weelo_api/server/gunicorn.py` call these functions
before they import anything large.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

from weelo_workers import otel_variables


def tune_garbage_collector() -> None:
    """Make the garbage collector run more rarely, and not at exit.

    Objects made by imports live until the process ends. With Python's default thresholds, the collector still visits
    them about a hundred times during the imports and twice at exit. These visits take a third of the time that a
    process needs to start and end (docs/performance.md).
    """
    gc.set_threshold(10_000, 20, 20)
    atexit.register(gc.freeze)


def start_server(
    process: str, queue: str | None = None, *, always_share_metrics: bool = False, share_metrics: bool = True
) -> None:
    """Prepare a server process: its garbage collector, its logging, the directory of its metrics, and its channel to Redis.

    `process` and `queue`: its kind, and its queue if it has only one, for log lines.
    `share_metrics`: False for Flower, whose own metrics would otherwise appear at /metrics.

    prometheus_client reads PROMETHEUS_MULTIPROC_DIR while it is imported, so call this function before that import.
    Raises RuntimeError if prometheus_client was imported already.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client was imported before the directory of metrics was opened")
    tune_garbage_collector()
    otel_variables.remove_others()
    from weelo_workers.logs import configuring  # noqa: PLC0415 (it imports pydantic)

    configuring.configure(process, queue=queue)
    configuring.log_uncaught()
    from weelo_workers.metrics import multiprocess_dir  # noqa: PLC0415 (it imports pydantic)

    if share_metrics:
        multiprocess_dir.open_dir(always=always_share_metrics)
    from weelo_workers.messaging import kombu_channel  # noqa: PLC0415 (it imports kombu)

    kombu_channel.install()


def origin_of_celery(arguments: Sequence[str]) -> tuple[str, str | None]:
    """Return the kind of a Celery process, and its queue if it has only one: `worker --queues=offers` → worker, offers."""
    kind = next((word for word in arguments if word in {"worker", "beat", "flower"}), "celery")
    queues = next((word.partition("=")[2] for word in arguments if word.startswith("--queues=")), "")
    return kind, queues if kind == "worker" and queues and "," not in queues else None

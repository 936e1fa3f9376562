"""The settings that a process changes in itself and in its libraries when it starts. Importing our modules changes nothing.

`weelo_workers/__main__.py`, `weelo_workers/entry.py` and `start` in `weelo_api/server/gunicorn.py` call it, before they
import anything large.
"""

from __future__ import annotations

import atexit
import gc
import sys


def tune_garbage_collector() -> None:
    """Let the garbage collector run more rarely, and not at exit.

    Objects made by imports live until the end, but with its default thresholds the collector visits them about a
    hundred times during the imports and twice at exit, which takes a third of the time for starting and ending a
    process (docs/performance.md).
    """
    gc.set_threshold(10_000, 20, 20)
    atexit.register(gc.freeze)


def start_server(*, always_share_metrics: bool = False) -> None:
    """Prepare a process that serves: tune it, and let it share its metrics with the processes that it forks.

    prometheus_client reads its variable while it is imported, so this comes before any import of it. Raises RuntimeError
    if it was imported already.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client was imported before the directory of metrics was opened")
    tune_garbage_collector()
    from weelo_workers.metrics import multiprocess_dir  # noqa: PLC0415 (it imports pydantic)

    multiprocess_dir.open_dir(always=always_share_metrics)

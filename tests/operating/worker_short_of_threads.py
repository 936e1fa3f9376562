"""The API's worker class in a system that permits no further thread."""

from __future__ import annotations

import threading
from unittest.mock import patch

from weelo_api.server.worker import SlowClientSafeWorker


class WorkerShortOfThreads(SlowClientSafeWorker):
    def run(self) -> None:
        with patch.object(threading.Thread, "start", _refuse):
            super().run()


class WorkerWithoutThreads(SlowClientSafeWorker):
    def init_process(self) -> None:
        with patch.object(threading.Thread, "start", _refuse):
            super().init_process()


def _refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")

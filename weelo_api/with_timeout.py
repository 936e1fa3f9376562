"""Calls that may hang, with a limit on the wait for their result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")

PROBE_SECONDS = 2.0


class WithTimeout(Generic[Result]):
    """A function that is called in a thread of its own, and by one thread at a time.

    PostgreSQL's time-outs are kept by its server and TCP's by its kernel: a server process that is stopped, or whose disk
    hangs, keeps neither. Who comes while a call runs waits for the same result, so calls that hang do not pile up.
    """

    def __init__(self, function: Callable[[], Result], seconds: float = PROBE_SECONDS) -> None:
        self._function = function
        self._seconds = seconds
        self._lock = threading.Lock()
        self._call: Future[Result] | None = None

    def __call__(self) -> Result:
        """Return the function's result or raise what it raised; TimeoutError if it takes too long."""
        with self._lock:
            if self._call is None or self._call.done():
                self._call = Future()
                threading.Thread(target=self._run, args=(self._call,), daemon=True).start()
            call = self._call
        return call.result(self._seconds)

    def _run(self, call: Future[Result]) -> None:
        try:
            call.set_result(self._function())
        except Exception as error:  # noqa: BLE001 (it is raised where the result is waited for)
            call.set_exception(error)

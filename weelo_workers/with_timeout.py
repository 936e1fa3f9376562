"""A decorator for functions that may hang: it limits how long a caller waits for the result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from weelo_workers import forking

Result = TypeVar("Result")

PROBE_SECONDS = 2.0
LEAST_WAIT_SECONDS = 0.05


class NoThread(Exception):
    """Raised if the system permits no further thread, so that the function was not called."""


class WithTimeout(Generic[Result]):
    """Runs a function in a thread of its own, one call at a time, and limits the wait for its result.

    Statement time-outs are enforced by PostgreSQL's server process, and TCP keepalives are answered by the kernel of
    its machine. So neither ends a query whose server process is stopped or waits for a hung disk. Callers that arrive
    while the function runs wait for the same result. The time limit is that of the call which began the function, so
    neither hanging calls nor waiting callers pile up.
    """

    def __init__(self, function: Callable[[], Result], seconds: float = PROBE_SECONDS) -> None:
        self._function = function
        self._seconds = seconds
        self._lock = threading.Lock()
        self._call: Future[Result] | None = None
        self._until = 0.0

    def begin(self) -> Callable[[], Result]:
        """Begin a call unless one is running. Return a function that waits for its result, as `__call__` does.

        So a caller can begin several functions, and then wait for all results. Raises NoThread.
        """
        with self._lock:
            if self._call is None or self._call.done():
                begun: Future[Result] = Future()
                try:
                    threading.Thread(target=self._run, args=(begun,), daemon=True).start()
                except RuntimeError as refusal:
                    raise NoThread(str(refusal)) from None
                self._call, self._until = begun, time.monotonic() + self._seconds
            call, until = self._call, self._until
        return lambda: call.result(max(LEAST_WAIT_SECONDS, until - time.monotonic()))

    def __call__(self) -> Result:
        """Return the function's result, or raise its exception. Raises TimeoutError if the function takes too long,
        and NoThread."""
        return self.begin()()

    def _run(self, call: Future[Result]) -> None:
        try:
            with forking.delayed():
                call.set_result(self._function())
        except Exception as error:  # noqa: BLE001 (it is raised where the result is waited for)
            call.set_exception(error)

"""Objects that exist once per process: each is made on first use, and made anew after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Object = TypeVar("Object")


class PerProcess(Generic[Object]):
    """A callable that returns this process's object.

    A forked child makes its own, because the parent's threads do not run in it.
    """

    def __init__(self, make: Callable[[], Object]) -> None:
        self._make = make
        self._making = threading.Lock()
        self._made: Object | None = None
        os.register_at_fork(after_in_child=self._reset)

    def __call__(self) -> Object:
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _reset(self) -> None:
        self._making, self._made = threading.Lock(), None

"""Frames, and a buffer of them on which many threads can wait."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from weelo_client.errors import ChannelEnded, FrameTimeout


class NotAFrame(ValueError):
    """The message is not a frame. The channel ignores such messages."""


Predicate = Callable[["Frame"], bool]


@dataclass(frozen=True, slots=True)
class Frame:
    """One message from the server. `seq` orders the user's log; frames outside the log have none.

    `received` is a time on this machine's monotonic clock, for measurements.
    """

    event: str
    data: dict[str, Any]
    seq: int | None = None
    id: str | None = None
    at: str | None = None
    received: float = field(default_factory=time.monotonic)

    @classmethod
    def parse(cls, text: str | bytes) -> Frame:
        """Return the frame in a message. Raises NotAFrame."""
        try:
            message = json.loads(text)
            return cls(
                message["event"],
                message.get("data") or {},
                message.get("seq"),
                message.get("id"),
                message.get("at"),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise NotAFrame(str(wrong)) from wrong

    def matches(self, wanted: str | Predicate, data: dict[str, Any]) -> bool:
        right = self.event == wanted if isinstance(wanted, str) else wanted(self)
        return right and all(self.data.get(name) == value for name, value in data.items())


class FrameBuffer:
    """The newest `remember` frames of one channel, in the order in which they were received."""

    def __init__(self, remember: int) -> None:
        self._frames: deque[Frame] = deque(maxlen=remember)
        self._changed = threading.Condition()
        self._ended: ChannelEnded | None = None
        self.count = 0
        """How many frames were received, including those no longer kept."""
        self.connection_error: str | None = None
        """Why the channel is not connected; None while it is."""

    def add(self, frame: Frame) -> None:
        with self._changed:
            self._frames.append(frame)
            self.count += 1
            self._changed.notify_all()

    def end(self, why: ChannelEnded) -> None:
        """Make waiting threads raise `why`. Later calls have no effect."""
        with self._changed:
            self._ended = self._ended or why
            self._changed.notify_all()

    def all(self) -> tuple[Frame, ...]:
        with self._changed:
            return tuple(self._frames)

    def wait_for(self, wanted: str | Predicate, *, within: float, **data: Any) -> Frame:
        deadline = time.monotonic() + within
        looked_at = 0
        with self._changed:
            while True:
                for frame in self._since(looked_at):
                    if frame.matches(wanted, data):
                        return frame
                looked_at = self.count
                if self._ended is not None:
                    raise self._ended
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise FrameTimeout(self._what_instead(wanted, within, data))

    def follow(self) -> Iterator[Frame]:
        given = 0
        while True:
            with self._changed:
                while self.count == given and self._ended is None:
                    self._changed.wait()
                fresh = list(self._since(given))
                given = self.count
                if not fresh:
                    return
            yield from fresh

    def _since(self, index: int) -> Iterator[Frame]:
        dropped = self.count - len(self._frames)
        return islice(self._frames, max(0, index - dropped), None)

    def _what_instead(self, wanted: str | Predicate, within: float, data: dict[str, Any]) -> str:
        name = wanted if isinstance(wanted, str) else "the awaited frame"
        details = "".join(f" {key}={value}" for key, value in data.items())
        names = ", ".join(frame.event for frame in list(self._frames)[-8:]) or "nothing"
        not_connected = f"; not connected: {self.connection_error}" if self.connection_error else ""
        return (
            f"{name}{details} was not received within {within:.1f} s; the last frames: {names}{not_connected}"
        )

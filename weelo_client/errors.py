"""What can go wrong, and what to do about it."""

from __future__ import annotations

from typing import Any


class WeeloError(Exception):
    """Everything this package raises on purpose."""


class Rejected(WeeloError):
    """The API said no, and said why. Branch on `code`, which is stable; show `problem["title"]` to people.
    Nothing happened; but of 500 INTERNAL_ERROR and of a proxy's 502 or 504 nobody knows, so where that matters give
    the command a `key` of your own, and repeat it with that.

    `problem` is the whole RFC 9457 body, with the members that some codes add: `remaining`,
    `activeBroadcastId`, `errors` (field by field), `retryAfter`.
    """

    def __init__(self, code: str, problem: dict[str, Any]) -> None:
        self.code = code
        self.problem = problem
        super().__init__(
            f"{self.status} {code}: {problem.get('detail') or problem.get('title') or 'no detail'}"
        )

    @property
    def status(self) -> int:
        return int(self.problem.get("status") or 0)

    @property
    def retryable(self) -> bool:
        """Whether the same wish, as a new command with a new key, may succeed later."""
        return bool(self.problem.get("retryable"))


class Unreachable(WeeloError):
    """Nobody answered within the bound. A command may have arrived or not: repeat it with the same `key`, and it is
    the same command. None: it was a read, or bore no key."""

    def __init__(self, reason: str, key: str | None = None) -> None:
        self.key = key
        super().__init__(f"{reason}; it may have arrived, so repeat it with key={key!r}" if key else reason)


class StillPending(WeeloError):
    """Accepted, but not carried out within the wait. It will be: ask `client.outcome(command_id)` later, or
    listen for `command_settled`."""

    def __init__(self, command_id: str) -> None:
        self.command_id = command_id
        super().__init__(f"command {command_id} is accepted and still under way")


class FrameTimeout(WeeloError, TimeoutError):
    """The awaited frame did not come within its time."""


class ChannelEnded(WeeloError):
    """The channel is closed and will not reconnect: closed by you, or turned away by the server (`code`).

    - 4401 (or 401): the token is bad or has expired. Get a new one, and listen again with `after=channel.last_seq`.
    - 4403 (or 403): not for this user.
    - 4409: this user has five newer sockets. Stay away until somebody wants to see something here.
    - None: you closed it, or your `on_frame` raised.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(reason)

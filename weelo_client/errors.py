"""The client's exceptions, and what to do about each."""

from __future__ import annotations

from typing import Any


class WeeloError(Exception):
    """Base class of this package's exceptions."""


class Rejected(WeeloError):
    """The API rejected the request. Branch on `code`, which is stable; show `problem["title"]` to people.

    Nothing was changed, except possibly after 500 INTERNAL_ERROR or a proxy's 502 or 504, when the outcome is unknown.
    Where that matters, give the command a `key` of your own, and repeat the command with this key.

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
        """Whether the same request, with a new key, may succeed later."""
        return bool(self.problem.get("retryable"))


class Unreachable(WeeloError):
    """There was no response within `retry_for`. A command may have arrived, so repeat it with the same `key`.

    `key` is None for a read or a command without a key.
    """

    def __init__(self, reason: str, key: str | None = None) -> None:
        self.key = key
        super().__init__(f"{reason}; it may have arrived, so repeat it with key={key!r}" if key else reason)


class StillPending(WeeloError):
    """The command is accepted, but was not executed within the wait.

    It will be executed: call `client.outcome(command_id)` later, or wait for `command_settled`.
    """

    def __init__(self, command_id: str) -> None:
        self.command_id = command_id
        super().__init__(f"command {command_id} is accepted and still under way")


class FrameTimeout(WeeloError, TimeoutError):
    """The awaited frame was not received in time."""


class ChannelEnded(WeeloError):
    """The channel is closed and will not reconnect. `code` is the server's close code or HTTP status.

    - 4401 (or 401): the token is bad or has expired. Get a new one, and listen again with `after=channel.last_seq`.
    - 4403: the token sent by `renew` is another user's.
    - 403: a proxy refused the connection.
    - 4409: this user has five newer sockets. Listen again when the user returns to this app.
    - None: you closed it, or your `on_frame` raised.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(reason)

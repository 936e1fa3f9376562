"""Sends any command or read request. Other modules have one method per command and read."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal
from uuid import uuid4

import httpx

from weelo_client.connection import PREFIX, Connection, Token, refusal
from weelo_client.errors import Rejected, StillPending

LONGEST_WAIT_SECONDS = 30  # the API's limit for `Prefer: wait`
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 1.0
PAGE = 100


class Key(Enum):
    """Which Idempotency-Key a command gets if you do not give one."""

    FRESH = "a new key for each call"
    NONE = "no key"


FRESH_KEY = Key.FRESH
NO_KEY = Key.NONE


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command that has succeeded or is pending. Rejections are raised as `Rejected`.

    `replayed`: this is the outcome of an earlier command with the same key, which was not executed again.
    """

    status: Literal["pending", "succeeded"]
    http_status: int
    result: Any = None
    command_id: str | None = None
    command: str | None = None
    replayed: bool = False

    @property
    def settled(self) -> bool:
        return self.status == "succeeded"

    def value(self) -> Any:
        """Return the result. Raises StillPending if there is none yet."""
        if not self.settled:
            raise StillPending(self.command_id or "")
        return self.result


class Commands:
    """Sends commands and read requests.

    `wait`: how many seconds a command waits for its outcome by default (0: not at all).
    """

    def __init__(
        self,
        base_url: str,
        token: Token,
        *,
        wait: float = 10.0,
        retry_for: float = 15.0,
        http: httpx.Client | None = None,
    ) -> None:
        self._connection = Connection(base_url, token, retry_for=retry_for, http=http)
        self.wait = wait

    # --- writes -------------------------------------------------------------------------------------------

    def command(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        params: dict[str, str] | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Outcome:
        """Send a command to `path` (without the `/api/v1`) and wait for its outcome. `params`: the query string.

        `key` is the Idempotency-Key. By default each call creates a key, with which a lost request is repeated. If you
        give a key of your own and store it, your app can repeat the command after a restart without a second effect.
        `NO_KEY` sends no key. Raises Rejected if the command is rejected, Unreachable if there is no response.
        """
        patience = self.wait if wait is None else wait
        deadline = time.monotonic() + patience
        headers = {}
        if patience > 0:
            headers["Prefer"] = f"wait={min(LONGEST_WAIT_SECONDS, math.ceil(patience))}"
        if key is not NO_KEY:
            headers["Idempotency-Key"] = str(uuid4()) if isinstance(key, Key) else key
        answer = self._connection.send(
            method,
            PREFIX + path,
            body=body,
            params=params,
            headers=headers,
            server_waits=min(LONGEST_WAIT_SECONDS, patience),
        )
        if answer.is_error:
            raise refusal(answer)
        if answer.status_code != httpx.codes.ACCEPTED:
            return Outcome(
                "succeeded",
                answer.status_code,
                result=_json(answer) if answer.content else None,
                command_id=answer.headers.get("Location", "").rpartition("/")[2] or None,
                replayed=answer.headers.get("Idempotency-Replayed") == "true",
            )
        outcome = _outcome(_json(answer))
        return self.settle(outcome, deadline - time.monotonic()) if patience > 0 else outcome

    def outcome(self, command_id: str) -> Outcome:
        """Return the present outcome of a command. Raises Rejected if it was rejected."""
        return _outcome(self.get(f"/commands/{command_id}"))

    def settle(self, outcome: Outcome, within: float) -> Outcome:
        """Poll a pending command until it is settled or `within` seconds have passed, and return its outcome."""
        deadline = time.monotonic() + within
        pause = FIRST_POLL_SECONDS
        while not outcome.settled and outcome.command_id is not None:
            outcome = self.outcome(outcome.command_id)
            if outcome.settled or time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)
        return outcome

    # --- reads --------------------------------------------------------------------------------------------

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON at `path` (without the `/api/v1`). Raises Rejected or Unreachable."""
        answer = self._connection.send("GET", PREFIX + path, params=params)
        if answer.is_error:
            raise refusal(answer)
        return _json(answer)

    def items(self, path: str, limit: int | None = None, **filters: Any) -> list[Any]:
        """Return all items of a list, or the first `limit`, read page by page. Filters that are None are not sent."""
        found: list[Any] = []
        cursor = None
        while True:
            page = self.get(path, limit=min(PAGE, limit or PAGE), cursor=cursor, **filters)
            found += page["items"]
            cursor = page.get("nextCursor")
            if cursor is None or (limit is not None and len(found) >= limit):
                return found[:limit]

    def send_telemetry(self, path: str, body: dict[str, Any]) -> None:
        """Send telemetry, which is no command and has no outcome. If a message is lost, the next one replaces it."""
        answer = self._connection.send("POST", PREFIX + path, body=body)
        if answer.is_error:
            raise refusal(answer)

    def close(self) -> None:
        """Close the connections, unless they are shared. Channels must be closed separately."""
        self._connection.close()


def _json(answer: httpx.Response) -> Any:
    """Return the JSON of a response. Raises Rejected if it has none: another server responded, such as a proxy."""
    try:
        return answer.json()
    except ValueError:
        raise refusal(answer) from None


def _outcome(answer: dict[str, Any]) -> Outcome:
    """Return the outcome in the JSON of a 202 or of `/commands/{id}`. Raises Rejected."""
    if answer["status"] == "rejected":
        problem = dict(answer.get("error") or {})
        problem.setdefault("status", answer.get("httpStatus"))
        raise Rejected(str(problem.get("code", "REJECTED")), problem)
    return Outcome(
        status=answer["status"],
        http_status=answer.get("httpStatus") or httpx.codes.ACCEPTED,
        result=answer.get("result"),
        command_id=answer["commandId"],
        command=answer.get("command"),
        replayed=bool(answer.get("replayed")),
    )

"""Commands and reads in general: the part of the client that knows the protocol and no particular request."""

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

LONGEST_WAIT_SECONDS = 30  # what the API grants a `Prefer: wait`
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 1.0
PAGE = 100


class Key(Enum):
    """How a command is named, when you do not name it yourself."""

    FRESH = "a new key for each call"
    NONE = "no key"


FRESH_KEY = Key.FRESH
NO_KEY = Key.NONE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command. Rejections are raised (`Rejected`), so here it has succeeded or is under way.

    `replayed`: this is the answer of an earlier command with the same key; nothing happened twice.
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
        """The result. Raises StillPending if there is none yet."""
        if not self.settled:
            raise StillPending(self.command_id or "")
        return self.result


class Commands:
    """`wait`: for how many seconds a command is waited for, unless a call says otherwise (0: not at all)."""

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
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Outcome:
        """Send a command to `path` (without the `/api/v1`) and wait for what becomes of it.

        `key`: its Idempotency-Key. Each call makes a new one, under which lost requests are repeated. Give
        your own, kept across restarts of your app, to make a button press count once; `NO_KEY` sends none.
        Raises Rejected when it is rejected, Unreachable when nobody answers.
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
            headers=headers,
            server_waits=min(LONGEST_WAIT_SECONDS, patience),
        )
        if answer.is_error:
            raise refusal(answer)
        if answer.status_code != httpx.codes.ACCEPTED:
            return Outcome(
                "succeeded",
                answer.status_code,
                result=answer.json() if answer.content else None,
                command_id=answer.headers.get("Location", "").rpartition("/")[2] or None,
                replayed=answer.headers.get("Idempotency-Replayed") == "true",
            )
        outcome = _outcome(answer.json())
        return self.settle(outcome, deadline - time.monotonic()) if patience > 0 else outcome

    def outcome(self, command_id: str) -> Outcome:
        """What became of a command so far. Raises Rejected if that was a rejection."""
        return _outcome(self.get(f"/commands/{command_id}"))

    def settle(self, outcome: Outcome, within: float) -> Outcome:
        """Look after a pending command until it is settled, or time is up: then it is still pending."""
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
        """The JSON at `path` (without the `/api/v1`). Raises Rejected."""
        answer = self._connection.send("GET", PREFIX + path, params=params)
        if answer.is_error:
            raise refusal(answer)
        return answer.json()

    def items(self, path: str, limit: int | None = None) -> list[Any]:
        """The items of a list, page by page: all of them, or the first `limit`."""
        found: list[Any] = []
        cursor = None
        while True:
            page = self.get(path, limit=min(PAGE, limit or PAGE), cursor=cursor)
            found += page["items"]
            cursor = page.get("nextCursor")
            if cursor is None or (limit is not None and len(found) >= limit):
                return found[:limit]

    def send_telemetry(self, path: str, body: dict[str, Any]) -> None:
        """Telemetry: no command, no outcome, and the next one makes up for a lost one."""
        answer = self._connection.send("POST", PREFIX + path, body=body)
        if answer.is_error:
            raise refusal(answer)

    def close(self) -> None:
        """Close the connections, unless they are shared. Channels are closed by themselves."""
        self._connection.close()


def _outcome(said: dict[str, Any]) -> Outcome:
    """From the JSON of a 202 or of `/commands/{id}`."""
    if said["status"] == "rejected":
        problem = dict(said.get("error") or {})
        problem.setdefault("status", said.get("httpStatus"))
        raise Rejected(str(problem.get("code", "REJECTED")), problem)
    return Outcome(
        status=said["status"],
        http_status=said.get("httpStatus") or httpx.codes.ACCEPTED,
        result=said.get("result"),
        command_id=said["commandId"],
        command=said.get("command"),
        replayed=bool(said.get("replayed")),
    )

"""One caller's HTTP requests, with retries for unreliable networks.

A request is repeated if it did not arrive, or was refused without being stored (503 `SERVICE_UNAVAILABLE`, 429
`RATE_LIMITED`). Reads and requests with a key are also repeated if the response was lost, or was 500 `INTERNAL_ERROR`,
after which the outcome is unknown. The repeated request is identical, key included, so it has no second effect.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from weelo_client.errors import Rejected, Unreachable

Token = str | Callable[[], str]
"""A bearer token, or a function that returns a valid one. The function is called for each request and each connection, in
the thread that makes it. A request raises what the function raises; a channel reconnects and calls it again."""

PREFIX = "/api/v1"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0  # the time limit for a response, added to the wait in the request
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0

# A response with one of these codes, or without a code (from a proxy), means that nothing is stored under the key.
# Other responses with 429 or 503, such as ACCEPT_RETRY_EXHAUSTED, are stored outcomes: a retry with the same key would
# only return them again. The header Preference-Applied marks a stored outcome. It is needed for RATE_LIMITED, which
# may also be the stored outcome of a webhook's test.
_UNRECORDED = {"SERVICE_UNAVAILABLE", "RATE_LIMITED", ""}


def back_off(
    attempt: int, first: float = FIRST_PAUSE_SECONDS, longest: float = LONGEST_PAUSE_SECONDS
) -> float:
    """Return the seconds before the next attempt: doubling, capped, with jitter so that clients spread out."""
    return float(random.uniform(0.5, 1.0) * min(longest, first * 2 ** min(attempt, 16)))


class Connection:
    """Sends requests, and repeats failed ones for up to `retry_for` seconds. `http` is a connection pool to share."""

    def __init__(
        self, base_url: str, token: Token, *, retry_for: float = 15.0, http: httpx.Client | None = None
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self.token = token
        self.retry_for = retry_for
        self._owned = http is None
        self.http = http or open_pool(self.base_url)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        server_waits: float = 0.0,
    ) -> httpx.Response:
        """Return the response, whatever its status. Raises Unreachable if there was none within `retry_for`."""
        headers = dict(headers or {})
        harmless_twice = method == "GET" or "Idempotency-Key" in headers
        deadline = time.monotonic() + self.retry_for
        attempt = 0
        while True:
            pause = back_off(attempt)
            attempt += 1
            try:
                response = self._send_once(method, path, body, params, headers, server_waits)
            except httpx.TransportError as lost:
                never_sent = isinstance(lost, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
                if not (never_sent or harmless_twice) or time.monotonic() + pause >= deadline:
                    raise Unreachable(
                        f"{method} {self.base_url}{path}: {str(lost) or type(lost).__name__}",
                        headers.get("Idempotency-Key"),
                    ) from lost
            else:
                if not (_was_refused(response) or (harmless_twice and _not_known(response))):
                    return response
                pause = max(pause, _retry_after(response))
                if time.monotonic() + pause >= deadline:
                    return response
            time.sleep(pause)

    def _send_once(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        server_waits: float,
    ) -> httpx.Response:
        return self.http.request(
            method,
            f"{self.base_url}{path}",
            json=body,
            params={name: value for name, value in (params or {}).items() if value is not None},
            headers={**headers, "Authorization": f"Bearer {current_token(self.token)}"},
            timeout=httpx.Timeout(server_waits + ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._owned:
            self.http.close()


def checked_base_url(base_url: str) -> str:
    """Return the address of an API, without a slash or `/api/v1` at its end. Raises ValueError if it is no such address."""
    parts = urlsplit(base_url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"base_url is {base_url!r}: write the API's address with http:// or https://, such as http://127.0.0.1:8000"
        )
    return parts.geturl().rstrip("/").removesuffix(PREFIX).rstrip("/")


def open_pool(base_url: str, connections: int = 32) -> httpx.Client:
    """Return a pool of connections to one API, for any number of callers and threads."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.Client(limits=limits, trust_env=not is_loopback(base_url))


def is_loopback(url: str) -> bool:
    """Return whether the host of `url` is this machine.

    Such a URL is used without a proxy, even if the environment names one: a proxy on another machine would connect to
    its own machine, and would get the token.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback or address.is_unspecified


def current_token(token: Token) -> str:
    return token() if callable(token) else token


def refusal(response: httpx.Response) -> Rejected:
    """Return the response's problem+json as a Rejected, or the status and text of a proxy that responded instead."""
    problem = _json_object(response) or {"title": response.reason_phrase, "detail": _text(response)}
    problem.setdefault("status", response.status_code)
    return Rejected(str(problem.get("code") or f"HTTP_{response.status_code}"), problem)


def _text(response: httpx.Response) -> str:
    """Return the beginning of a proxy's text on one line, or an empty text for an HTML page, which is mostly markup."""
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    return "" if is_page else " ".join(response.text.split())[:200]


def _was_refused(response: httpx.Response) -> bool:
    if response.status_code not in (429, 503) or "Preference-Applied" in response.headers:
        return False
    return _json_object(response).get("code", "") in _UNRECORDED


def _not_known(response: httpx.Response) -> bool:
    return response.status_code == 500 and _json_object(response).get("code") == "INTERNAL_ERROR"


def _retry_after(response: httpx.Response) -> float:
    retry_after = response.headers.get("Retry-After", "")
    return float(retry_after) if retry_after.isdigit() else 0.0


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}

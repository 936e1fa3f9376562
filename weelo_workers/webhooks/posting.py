"""Posts one message to a user's endpoint: to a checked address, within a time limit, without redirects and proxies."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiodns
import httpcore
import httpx

from weelo_workers import __version__, webhook_secrets
from weelo_workers.contracts.addresses import is_public
from weelo_workers.contracts.webhooks import fault_in_production

ATTEMPT_SECONDS = 10.0
"""The limit for a whole attempt, including the look-up of the host and the TLS handshake."""

# This limit is so short that another address of the host can be tried in the same attempt if one does not answer.
CONNECT_SECONDS = 4.0
# Only the status of a response counts. Its body is read within these limits, and not used.
MAX_BODY_BYTES = 4_096
BODY_SECONDS = 1.0
# An endpoint may send any number of interim responses (RFC 9110, section 15.2) or endless headers. They are parsed in the
# loop that all posts share, so they are read in small parts, up to a limit.
MAX_RECEIVED_BYTES = 64 * 1024
PART_BYTES = 4 * 1024

# The time limit of the first try of a look-up. The library c-ares uses a longer limit for each further try.
LOOK_UP_SECONDS = 2.0
LOOK_UP_TRIES = 3

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt and its result. `error`: why it failed, None if the status is 200 to 299."""

    http_status: int | None
    error: str | None
    result: str
    """A word for the metrics: `delivered`, `refused`, `gone`, `timeout`, `unreachable` or `forbidden`."""
    seconds: float

    @property
    def delivered(self) -> bool:
        return self.error is None

    @property
    def gone(self) -> bool:
        return self.http_status == httpx.codes.GONE


class ForbiddenAddress(Exception):
    """The host has an address that must not be called in production."""


class Resolver:
    """Looks up hosts, for one event loop.

    `socket.getaddrinfo` is not used: each call keeps a thread for up to half a minute if a name server does not answer. So
    a few users with such names would delay the look-ups of all others.
    """

    def __init__(self) -> None:
        self._resolver: aiodns.DNSResolver | None = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host. Raises httpcore.ConnectError if it has none."""
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(timeout=LOOK_UP_SECONDS, tries=LOOK_UP_TRIES)
        try:
            found = await self._resolver.getaddrinfo(
                host, family=socket.AF_UNSPEC, port=port, type=socket.SOCK_STREAM
            )
        except aiodns.error.DNSError as error:
            raise httpcore.ConnectError(f"the host cannot be looked up: {error.args[-1]}") from error
        return list(dict.fromkeys(node.addr[0].decode() for node in found.nodes))

    async def close(self) -> None:
        """Cancel all look-ups. Call this before the event loop is closed."""
        if self._resolver is not None:
            await self._resolver.close()


class LimitedStream(httpcore.AsyncNetworkStream):
    """A connection that raises httpcore.ReadError after MAX_RECEIVED_BYTES."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream, self._left = stream, MAX_RECEIVED_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left <= 0:
            raise httpcore.ReadError(f"the answer is longer than {MAX_RECEIVED_BYTES} bytes")
        part = await self._stream.read(min(max_bytes, PART_BYTES), timeout)
        self._left -= len(part)
        return part

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return LimitedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to an address that this class has looked up and checked itself.

    The system would look the host up again, and a name server may return another address then.
    """

    def __init__(self, resolve: Resolve, *, public_only: bool) -> None:
        """`public_only`: every address of the host has to be a public one."""
        self._resolve, self._public_only = resolve, public_only
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        if not addresses:
            raise httpcore.ConnectError("the host has no address")
        # All addresses are checked: a host that has a forbidden address is refused, even if another of its addresses
        # would be used.
        if self._public_only and not all(is_public(address) for address in addresses):
            raise ForbiddenAddress
        failure: Exception = httpcore.ConnectError()
        for address in addresses:
            try:
                stream = await self._network.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
                return LimitedStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as refused:
                failure = refused
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """Return the TLS context: the authorities of SSL_CERT_FILE or SSL_CERT_DIR if one is set, else those of certifi."""
    return httpx.create_ssl_context()


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, with one signature per secret."""
    return {
        "content-type": "application/json",
        "user-agent": f"Weelo/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            webhook_secrets.signature(secret, message_id, timestamp, body) for secret in secrets
        ),
    }


async def post(
    url: str,
    secrets: Sequence[str],
    message_id: str,
    body: bytes,
    *,
    in_production: bool,
    resolve: Resolve,
) -> Attempt:
    """Post one message, and return the result. Raises nothing: every failure is a result."""
    began = time.monotonic()
    statuses: list[int] = []
    fault = fault_in_production(url) if in_production else None
    result = "forbidden"
    error: str | None = f"the URL {fault}"
    if fault is None:
        # The receiver compares the timestamp with its own clock, so it is the time of this machine.
        signed = headers(secrets, message_id, int(time.time()), body)
        network = CheckedBackend(resolve, public_only=in_production)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await _exchange(url, signed, body, network, on_status=statuses.append)
        except (TimeoutError, httpcore.TimeoutException):
            result, error = "timeout", f"no answer within {ATTEMPT_SECONDS:g} s"
        except ForbiddenAddress:
            error = "the host has an address that is not public"
        except Exception as failure:  # noqa: BLE001 (no response of an endpoint may stop the sender)
            result, error = "unreachable", _summary(failure)
    # Once the status is known, nothing that follows, such as a body that does not end, changes the result.
    if statuses:
        result, error = _result_of(statuses[0])
    return Attempt(statuses[0] if statuses else None, error, result, time.monotonic() - began)


def _result_of(status: int) -> tuple[str, str | None]:
    """Return the word for the metrics, and the error; no error for a status from 200 to 299."""
    if 200 <= status <= 299:
        return "delivered", None
    return ("gone" if status == httpx.codes.GONE else "refused"), f"the endpoint answered {status}"


async def _exchange(
    url: str,
    headers: dict[str, str],
    body: bytes,
    network: CheckedBackend,
    *,
    on_status: Callable[[int], None],
) -> None:
    """Send the request, and read the response. `on_status` is called as soon as its status is known."""
    parts = httpx.URL(url)
    target = httpcore.URL(
        scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path
    )
    sent = [(b"host", parts.netloc), *((name.encode(), value.encode()) for name, value in headers.items())]
    limits = {"connect": CONNECT_SECONDS, "read": ATTEMPT_SECONDS, "write": ATTEMPT_SECONDS}
    # Each attempt has a connection of its own, so that the address is looked up and checked each time.
    async with (
        httpcore.AsyncConnectionPool(
            ssl_context=tls() if parts.scheme == "https" else None, network_backend=network
        ) as pool,
        pool.stream(
            "POST",
            target,
            headers=[*sent, (b"content-length", str(len(body)).encode())],
            content=body,
            extensions={"timeout": limits},
        ) as response,
    ):
        on_status(response.status)
        with suppress(Exception):
            await _read_some(response)


async def _read_some(response: httpcore.Response) -> None:
    """Read the beginning of the body, because many servers log an error if the connection is closed before that."""
    read = 0
    async with asyncio.timeout(BODY_SECONDS):
        async for chunk in response.aiter_stream():
            read += len(chunk)
            if read > MAX_BODY_BYTES:
                return


def _summary(failure: Exception) -> str:
    """Return the failure in one line of at most 200 characters."""
    text = " ".join(str(failure).split()) or type(failure).__name__
    return text[:200]

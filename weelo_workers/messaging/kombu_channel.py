"""A variant of kombu's channel on Redis that keeps one Redis client."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as redis_transport


class ClientKeepingChannel(redis_transport.Channel):
    """A channel that keeps one client. kombu (5.7.0) makes a new one whenever it sends, takes or acknowledges a message.

    One client is enough, because all clients of a channel use the same pool of connections.
    """

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


def install() -> None:
    """Let kombu use this channel for all connections to Redis that this process opens from now on."""
    redis_transport.Transport.Channel = ClientKeepingChannel

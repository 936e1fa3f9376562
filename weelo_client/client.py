"""The client of one user of one Weelo installation."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from weelo_client.admin import AdminCommands
from weelo_client.channel import Channel
from weelo_client.connection import Token
from weelo_client.customer import CustomerCommands
from weelo_client.driver import DriverCommands
from weelo_client.frames import Frame
from weelo_client.reads import Reads
from weelo_client.relations import RelationCommands
from weelo_client.transporter import TransporterCommands
from weelo_client.webhooks import WebhookCommands


class WeeloClient(
    CustomerCommands,
    TransporterCommands,
    DriverCommands,
    AdminCommands,
    WebhookCommands,
    RelationCommands,
    Reads,
):
    """All requests of customers, transporters, drivers and operators. The token determines the user and role.

    - `base_url`: the address of the API, such as `http://127.0.0.1:8000`; another text raises ValueError.
    - `token`: the JWT, or a function that returns a valid one (see `connection.Token`).
    - `wait`: for how many seconds a command waits for its outcome (0: not at all).
    - `retry_for`: for how many seconds a request is repeated if there is no response, or a response after which it may
      be repeated (see `connection`). Each attempt may take 5 s to connect, and 10 s beyond the wait that the server was
      asked for.
    - `http`: a connection pool to share between clients (see `open_pool`).

    Every command takes `key` (the Idempotency-Key; by default a new one for each call) and `wait`, and raises
    Rejected (with a stable `code`), StillPending, or Unreachable. Threads may share a client.
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
        super().__init__(base_url, token, wait=wait, retry_for=retry_for, http=http)

    def listen(
        self,
        *,
        after: int | None = None,
        within: float = 10.0,
        remember: int = 10_000,
        on_frame: Callable[[Frame], None] | None = None,
    ) -> Channel:
        """Open the socket and return when it is connected. For `after`, `remember`, `on_frame` see `Channel`.

        Raises FrameTimeout or ChannelEnded if the socket is not connected within `within` seconds.
        """
        connection = self._connection
        channel = Channel(
            connection.base_url, connection.token, after=after, remember=remember, on_frame=on_frame
        )
        try:
            channel.wait_for("connected", within=within)
        except Exception:
            channel.close()
            raise
        return channel

    def __enter__(self) -> WeeloClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

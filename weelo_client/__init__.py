"""A typed, synchronous client of Weelo's public API. It is small, so that you can read it before you write your own.

    from weelo_client import FrameTimeout, Place, WeeloClient

    pickup: Place = {"latitude": 28.61, "longitude": 77.21, "address": "New Delhi"}
    drop: Place = {"latitude": 26.91, "longitude": 75.79, "address": "Jaipur"}
    with WeeloClient("http://127.0.0.1:8000", token) as customer:
        with customer.listen() as channel:
            booking = customer.create_booking(pickup, drop, "Open", "17 Feet", trucks_needed=2)
            try:
                won = channel.wait_for("truck_confirmed", within=60, broadcastId=booking["id"])
                print("found", won.data["assignment"]["vehicleNumber"])
            except FrameTimeout:
                customer.cancel_booking(booking["id"], reason="took too long")

What it does for an app:

- **Safe retries.** Each write has an Idempotency-Key. A request whose response was lost is sent again with the same key,
  and the server returns the outcome of the first one.
- **Typed rejections.** A rejection raises `Rejected`, with a stable `.code` and the whole problem in `.problem`.
- **Bounded waiting.** A call waits for its outcome with `Prefer: wait`, then polls, then raises `StillPending`: the
  command is accepted and will be executed.
- **A complete log.** `Channel` resumes after a lost connection, drops repeated events and requests missing ones, so that
  your code gets one ordered log. It acknowledges events that you have handled, so that the server sends no push for them.

The JSON shapes are in `weelo_client.shapes`, under their names on the wire.
"""

from weelo_client.channel import Channel
from weelo_client.client import WeeloClient
from weelo_client.commands import FRESH_KEY, NO_KEY, Key, Outcome
from weelo_client.connection import open_pool
from weelo_client.errors import ChannelEnded, FrameTimeout, Rejected, StillPending, Unreachable, WeeloError
from weelo_client.frames import Frame
from weelo_client.shapes import Place

__all__ = [
    "FRESH_KEY",
    "NO_KEY",
    "Channel",
    "ChannelEnded",
    "Frame",
    "FrameTimeout",
    "Key",
    "Outcome",
    "Place",
    "Rejected",
    "StillPending",
    "Unreachable",
    "WeeloClient",
    "WeeloError",
    "open_pool",
]

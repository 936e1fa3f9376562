"""A client of Weelo's public API: typed, synchronous, small enough to read before you write your own.

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

What it takes care of, so that an app need not:

- **A retry is harmless.** Each write bears an Idempotency-Key; a request whose answer was lost is sent again
  with the same key, and the server answers with the first one's outcome.
- **A no is a code.** Rejections are `Rejected`, with a stable `.code` and the whole problem in `.problem`.
- **Waiting is bounded.** A command is waited for with `Prefer: wait`, then asked after, then it is
  `StillPending`: accepted, and it will be carried out.
- **The socket loses nothing.** `Channel` resumes where it was cut off, drops what it has heard already and
  asks for what is missing, so that your code sees one ordered log. It acknowledges what you are done with, so
  that nobody is woken by a push for what they have seen.

It knows only what travels: the shapes are in `weelo_client.shapes`, under the names they have on the wire.
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

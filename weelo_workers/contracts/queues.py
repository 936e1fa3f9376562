"""The queues. Each is also a compose service, scaled alone; a command names the one it travels on."""

from typing import Final, Literal

Queue = Literal["broadcasts", "offers", "trips", "fleet", "timers", "notifications"]

BROADCASTS: Final = "broadcasts"
OFFERS: Final = "offers"
TRIPS: Final = "trips"
FLEET: Final = "fleet"
TIMERS: Final = "timers"
NOTIFICATIONS: Final = "notifications"

QUEUES: Final[tuple[Queue, ...]] = (BROADCASTS, OFFERS, TRIPS, FLEET, TIMERS, NOTIFICATIONS)

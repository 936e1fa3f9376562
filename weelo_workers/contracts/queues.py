"""The queues. Each has its own Compose service, so each can be scaled by itself. A command class names its queue."""

from typing import Final, Literal

Queue = Literal["broadcasts", "offers", "trips", "fleet", "timers", "notifications", "webhooks"]

BROADCASTS: Final = "broadcasts"
OFFERS: Final = "offers"
TRIPS: Final = "trips"
FLEET: Final = "fleet"
TIMERS: Final = "timers"
NOTIFICATIONS: Final = "notifications"
WEBHOOKS: Final = "webhooks"

QUEUES: Final[tuple[Queue, ...]] = (BROADCASTS, OFFERS, TRIPS, FLEET, TIMERS, NOTIFICATIONS, WEBHOOKS)

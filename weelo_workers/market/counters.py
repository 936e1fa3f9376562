"""The market's counters and histograms. `counting.py` counts them; no label is an id."""

from prometheus_client import Counter, Histogram

from weelo_workers.contracts.vehicle_kinds import TYPES
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.metrics.counters import IN_THIS_PROCESS

# The bounds of the histograms fit the defaults: a ring every 15 s, and a broadcast that is open for 2 minutes.
_SEARCH = (
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    75.0,
    90.0,
    120.0,
    180.0,
    300.0,
    600.0,
    1_800.0,
    3_600.0,
)

_BY_KIND = ("area", "vehicle_type")


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"weelo_market_{name}", meaning, [*_BY_KIND, *labels], registry=IN_THIS_PROCESS)


def _histogram(name: str, meaning: str) -> Histogram:
    return Histogram(f"weelo_market_{name}", meaning, _BY_KIND, buckets=_SEARCH, registry=IN_THIS_PROCESS)


REQUESTS = _counter(
    "requests", "Bookings and orders created; vehicle_type several: an order for trucks of several types"
)
OFFERS = _counter("offers", "Offers made, by ring: the number of the step, contracted or last", "ring")
SLOTS_ASKED = _counter("slots_asked", "Slots of created requests, one for each truck")
SLOTS_WON = _counter("slots_won", "Trucks assigned to slots, by the ring that made the offer", "ring")
SLOTS_EXPIRED = _counter(
    "slots_expired",
    "Slots that expired, by the reason of their broadcast; truck_lost: a slot that lost its truck",
    "reason",
)
ACCEPTS_LOST = _counter(
    "accepts_lost", "Accepts and confirmations of holds that came too late, by code", "code"
)
DRIVER_TIMEOUTS = _counter(
    "driver_timeouts", "Assignments that ended because the driver did not answer in time"
)
DRIVER_DECLINES = _counter(
    "driver_declines", "Assignments that the first driver declined, by code, or none", "code"
)
CANCELS = _counter(
    "cancels",
    "Slots that were cancelled, by cause, by stage (offer, or the status of the truck before) and by code, or none",
    "because",
    "stage",
    "code",
)
GIVEN_BACK = _counter("given_back", "Trucks that were given back, by code, or none", "code")
SECONDS_TO_FIRST = _histogram("to_first_seconds", "Seconds from a request to its first truck")
SECONDS_TO_FULL = _histogram(
    "to_full_seconds", "Seconds from a request until every slot has a truck, for the first time"
)


def initialize() -> None:
    """Create the series of the area `default` with the value zero.

    Called when a process that executes commands starts. Without these zeros, a ratio such as slots won to slots asked
    for would have no value before the first slot is won. The series of another area begin with its first request.
    """
    for vehicle_type in TYPES:
        for counter in (REQUESTS, SLOTS_ASKED, DRIVER_TIMEOUTS):
            counter.labels(DEFAULT_SCOPE, vehicle_type)
        SLOTS_WON.labels(DEFAULT_SCOPE, vehicle_type, "1")

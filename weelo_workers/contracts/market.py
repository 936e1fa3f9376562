"""The market figures, as `GET /admin/market` returns them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weelo_workers.contracts.policies import PolicyRef
from weelo_workers.contracts.wire import Timestamp, Wire

Area = Annotated[
    str,
    Field(
        description="The name of the area: the scope of the policy with which the request began.",
        examples=["default"],
    ),
]
Count = Annotated[int, Field(examples=[42])]
Seconds = Annotated[float, Field(examples=[18.4])]
Share = Annotated[float, Field(examples=[0.82])]


class Spread(Wire):
    """The median and the 95th percentile of a duration, over the requests for which it is known."""

    requests: Count
    """For how many requests it has happened."""
    p50: Seconds | None
    """The median in seconds; null if it has happened for none."""
    p95: Seconds | None
    """The time in seconds within which it happened for 95 % of these requests; null if it has happened for none."""


class WonInRing(Wire):
    """How many trucks were won by offers of one ring."""

    ring: Annotated[str, Field(examples=["1", "last"])]
    """The number of the step whose offer the transporter accepted, or "last" for all portions of the last step."""
    trucks: Count
    """How many trucks were assigned."""
    share: Share
    """The part of all assigned trucks, from 0 to 1."""


class ExpiredSlots(Wire):
    """How many slots expired for one reason."""

    reason: Annotated[str, Field(examples=["nobody_accepted"])]
    """`partly_filled`, `no_transporter_online`, `nobody_free` or `nobody_accepted`: the reason of the broadcast that expired
    at its deadline. `truck_lost`: the slot had a truck and lost it, and was not offered again."""
    slots: Count
    """How many slots expired."""


class LostAccepts(Wire):
    """How many accepts came too late and were rejected with one code."""

    code: Annotated[str, Field(examples=["BROADCAST_FILLED"])]
    """The code of the rejection."""
    accepts: Count
    """How many accepts and confirmations of holds were rejected with it."""


class CancelledSlots(Wire):
    """How many slots were cancelled, by cause, stage and code."""

    because: Annotated[str, Field(examples=["customer_cancelled"])]
    """`customer_cancelled`, `customer_no_show` or `ended_by_operator`."""
    stage: Annotated[str, Field(examples=["offer", "driver_accepted"])]
    """`offer` if the slot had no truck, otherwise the status of the truck's assignment before."""
    code: Annotated[str, Field(examples=["plans_changed"])] | None
    """The reason code of the user; null if none was given."""
    slots: Count
    """How many slots were cancelled."""


class LostTrucks(Wire):
    """How many trucks were lost with one reason code."""

    code: Annotated[str, Field(examples=["breakdown"])] | None
    """The reason code; null if none was given. `stalled` and `driver_timeout` are given by the system."""
    trucks: Count
    """How many trucks were lost."""


class MarketFigures(Wire):
    """What became of the requests that were created in the window, until now."""

    requests: Count
    """How many bookings and orders were created."""
    offers: Count
    """How many offers were made of these requests. An offer that is made again in a new round is not counted again."""
    offers_per_won_slot: Annotated[float | None, Field(examples=[4.1])]
    """`offers`, divided by the trucks that were assigned to slots of these requests; null if there are none."""
    seconds_to_first: Spread
    """From the creation of a request until its first truck was assigned."""
    seconds_to_full: Spread
    """From the creation of a request until every slot had a truck for the first time."""
    accepts_lost: list[LostAccepts]
    """Accepts and confirmations of holds that came too late, because others had taken the slots or the request or hold had
    ended. Known since `acceptsCompleteFrom`."""
    slots_asked: Count
    """How many slots the requests had when they were created: one for each truck."""
    slots_won: Count
    """How many trucks were assigned to slots. A slot that loses its truck and gets another one counts twice."""
    slots_filled: Count
    """How many slots got a truck, at least once."""
    fill_rate: Share | None
    """`slotsFilled` divided by `slotsAsked`, from 0 to 1; null if no slots were asked for."""
    won_by_ring: list[WonInRing]
    """`slotsWon` by the ring whose offer was accepted."""
    slots_expired: list[ExpiredSlots]
    """Slots that expired, by reason."""
    cancels: list[CancelledSlots]
    """Slots that were cancelled: by the customer, alone or with the whole request; because the customer did not come to the
    pickup; or by an operator."""
    driver_timeouts: Count
    """Trucks that were lost because their driver did not answer in time."""
    driver_declines: list[LostTrucks]
    """Trucks that were lost because their driver declined, by code. If the driver had replaced another one, the truck is
    counted in `givenBack` instead."""
    given_back: list[LostTrucks]
    """Trucks that were given back after they were won: by driver or transporter, because they did not set out in time
    (`stalled`), or because the driver who replaced another one declined or did not answer. The last, with the code
    `driver_timeout`, are counted in `driverTimeouts` as well."""


class MarketGroup(MarketFigures):
    """The figures of one area and one vehicle type.

    Requests, offers, times and lost accepts are those of the requests whose trucks all have this type; an order for trucks of
    more than one type is in the group "several". Slots and trucks are those of this type, in all requests.
    """

    area: Area
    vehicle_type: Annotated[str, Field(examples=["open"])]
    """The type of vehicle, or "several"."""


class MarketOfPolicy(MarketFigures):
    """The figures of the requests that began with one version of a policy, of all vehicle types."""

    policy: PolicyRef
    """The policy with which the requests began."""


class MarketView(Wire):
    """The market figures of the requests that were created in a window of time."""

    from_: Annotated[Timestamp, Field(alias="from")]
    """The start of the window. A request that was created at this time is in it."""
    to: Timestamp
    """The end of the window. A request that was created at this time is not in it."""
    area: Area | None
    """The only area that is counted; null: all areas."""
    complete_from: Timestamp | None
    """Requests that were created before this time may have been deleted (setting HISTORY_RETENTION_DAYS); null: none is
    deleted."""
    accepts_complete_from: Timestamp
    """Accepts that were sent before this time may have been deleted (setting EVENT_RETENTION_DAYS)."""
    total: MarketFigures
    """The figures of all groups together."""
    groups: list[MarketGroup]
    """The figures by area and vehicle type, in the order of their names. Groups without any figure are left out."""
    policies: list[MarketOfPolicy]
    """The figures by policy and version, in the order of scope and version. Those without any request are left out."""

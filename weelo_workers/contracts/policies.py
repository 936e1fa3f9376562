"""The contract of policies: how far, how fast and to how many transporters broadcasts are offered."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from weelo_workers import policy_limits
from weelo_workers.contracts.command import Audit, Command
from weelo_workers.contracts.queues import FLEET
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.vehicle_kinds import TYPES
from weelo_workers.contracts.wire import (
    Latitude,
    Longitude,
    Request,
    RequiredNote,
    ShortText,
    Timestamp,
    Wire,
)

ScopeName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$"),
    Field(
        description="The name of the policy: `default`, or a small letter, then up to 39 small letters, digits, hyphens and underscores.",
        examples=["delhi"],
    ),
]
PolicyVersionNumber = Annotated[
    int,
    Field(
        description="The number of the version in its scope, from 1; 0 for `default` before its first version.",
        examples=[3],
    ),
]
PolicyReason = Annotated[
    RequiredNote,
    Field(
        description="Why the operator does this. It is kept for ever, so it must not name a person.",
        examples=["Rings follow too slowly in the morning."],
    ),
]


def _known_type(name: str) -> str:
    if name.lower() not in TYPES:
        raise ValueError(f"must be one of: {', '.join(TYPES)}")
    return name.lower()


def _without_repeats(types: list[str] | None) -> list[str] | None:
    return None if types is None else list(dict.fromkeys(types))


VehicleTypeName = Annotated[ShortText, AfterValidator(_known_type)]


class Center(Request):
    """The centre of an area."""

    latitude: Latitude
    longitude: Longitude


class Area(Request):
    """A circle on the earth."""

    center: Center
    """The centre of the circle."""
    radius_km: Annotated[float, Field(gt=0, le=20_000, allow_inf_nan=False, examples=[40])]
    """The radius of the circle in km."""


class PolicySettings(Request):
    """The values that a version sets.

    A value that is left out or null is taken from the policy `default`. If that does not set the value either, the
    system's setting applies.
    """

    radius_steps_km: Annotated[policy_limits.RadiusStepsKm | None, Field(examples=[[10, 25, 50, 75]])] = None
    """The radius rings in km, growing. After them comes the last step."""
    radius_step_seconds: Annotated[policy_limits.RadiusStepSeconds | None, Field(examples=[15])] = None
    """The time between two rings in seconds."""
    last_step_max_km: Annotated[policy_limits.LastStepMaxKm | None, Field(examples=[0])] = None
    """How far the last step reaches in km. 0: no limit. Otherwise at least the last of `radiusStepsKm`."""
    broadcast_timeout_seconds: Annotated[
        policy_limits.BroadcastTimeoutSeconds | None, Field(examples=[120])
    ] = None
    """How long a booking or an order stays open, in seconds."""
    min_offers_per_step: Annotated[policy_limits.MinOffersPerStep | None, Field(examples=[1])] = None
    """After a ring with fewer new offers than this the next ring follows at once."""
    max_offers_per_step: Annotated[policy_limits.MaxOffersPerStep | None, Field(examples=[250])] = None
    """How many transporters one step offers to, nearest first."""
    max_open_offers: Annotated[policy_limits.MaxOpenOffers | None, Field(examples=[20])] = None
    """How many open offers at least as near a transporter may have to get an offer of this policy."""
    soft_open_offers: Annotated[policy_limits.SoftOpenOffers | None, Field(examples=[10])] = None
    """Transporters with fewer open offers than this come first. At least `maxOpenOffers`: no such limit."""
    contracted_first_seconds: Annotated[policy_limits.ContractedFirstSeconds | None, Field(examples=[30])] = (
        None
    )
    """For this long a new request is offered only to the customer's contracted transporters, in seconds. 0: not at all. Must be less than `broadcastTimeoutSeconds`."""
    hold_seconds: Annotated[policy_limits.HoldSeconds | None, Field(examples=[90])] = None
    """How long a transporter may hold slots, in seconds."""
    driver_accept_seconds: Annotated[policy_limits.DriverAcceptSeconds | None, Field(examples=[45])] = None
    """How long a driver may take to answer, in seconds."""
    reoffer_seconds: Annotated[policy_limits.ReofferSeconds | None, Field(examples=[120])] = None
    """The shortest time of a new search for a truck, in seconds. If no policy and no setting says so: `broadcastTimeoutSeconds`."""
    reoffer_rounds: Annotated[policy_limits.ReofferRounds | None, Field(examples=[3])] = None
    """How many new searches a broadcast gets at most."""
    start_reminder_seconds: Annotated[policy_limits.ReminderSeconds | None, Field(examples=[900])] = None
    """This long after the driver has accepted, driver and transporter of a truck that has not set out are reminded. 0: never."""
    start_limit_seconds: Annotated[policy_limits.ReminderSeconds | None, Field(examples=[3600])] = None
    """This long after the driver has accepted, a truck that has not set out is given back. 0: never."""
    pickup_limit_seconds: Annotated[policy_limits.ReminderSeconds | None, Field(examples=[21600])] = None
    """If a truck is on its way to the pickup for this long, its transporter and the customer are told. 0: never."""
    pickup_wait_seconds: Annotated[policy_limits.ReminderSeconds | None, Field(examples=[1800])] = None
    """How long a driver waits at the pickup before reporting that the customer did not come. 0: the driver need not wait."""

    def chosen(self) -> dict[str, Any]:
        """Return the values that are set, keyed in camel case, as they are stored."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


# --- requests -------------------------------------------------------------------------------------------


class PolicyDraft(Request):
    """A version of a policy that is not stored."""

    area: Area | None = None
    """Where the policy is in force. Left out: everywhere. Must be left out for `default`."""
    vehicle_types: Annotated[
        list[VehicleTypeName] | None,
        Field(min_length=1, max_length=len(TYPES), examples=[["open"]]),
        AfterValidator(_without_repeats),
    ] = None
    """The types of vehicles for which the policy is in force: all types of a request must be among them. Left out: all types.
    Must be left out for `default`."""
    settings: PolicySettings
    """The values that this version sets."""


class PreviewedPolicy(PolicyDraft):
    """A version of a policy whose effect is to be shown."""

    reason: PolicyReason | None = None
    """It has no effect in a preview."""


class NewPolicyVersion(PolicyDraft):
    """A new version of a policy, which replaces the whole version before."""

    reason: PolicyReason


class PolicyPause(Request):
    """Whether new requests of a scope are refused, and why an operator decides this."""

    paused: bool
    """True: new requests are refused with 503 AREA_PAUSED. False: they are accepted."""
    reason: PolicyReason


# --- commands -------------------------------------------------------------------------------------------


class PutPolicy(
    Command,
    name="policies.put",
    queue=FLEET,
    rejects=(Code.VALIDATION_ERROR,),
    audit=Audit("policy", None),
):
    """Store the next version of the policy of a scope, for an operator."""

    scope: str
    area: Area | None = None
    vehicle_types: list[str] | None = None
    settings: dict[str, Any]
    """The values that the version sets, keyed in camel case."""
    reason: str


class PausePolicy(
    Command,
    name="policies.pause",
    queue=FLEET,
    rejects=(Code.POLICY_NOT_FOUND,),
    audit=Audit("policy", None),
):
    """Refuse or accept new requests in a scope, for an operator."""

    scope: str
    paused: bool
    reason: str


# --- views ----------------------------------------------------------------------------------------------


class PolicyRef(Wire):
    """The policy with which a broadcast began. The broadcast keeps it."""

    scope: ScopeName
    version: PolicyVersionNumber


Values = Annotated[
    dict[str, Any],
    Field(examples=[{"radiusStepsKm": [10, 25, 50, 75], "radiusStepSeconds": 15}]),
]
"""Values of a policy, keyed as in `PolicySettings`."""
Number = int | float
AreaOrNull = Annotated[Area | None, Field(description="Where the policy is in force; null: everywhere.")]
VehicleTypes = Annotated[
    list[str] | None,
    Field(
        description="The types of vehicles for which the policy is in force; null: all types.",
        examples=[["open"]],
    ),
]


class PolicyVersionView(Wire):
    """A version of a policy. It never changes."""

    scope: ScopeName
    version: PolicyVersionNumber
    area: AreaOrNull
    vehicle_types: VehicleTypes
    settings: Values
    """The values that this version sets."""
    reason: Annotated[str | None, Field(examples=["Rings follow too slowly in the morning."])]
    """The operator's own words; null for version 0."""
    actor_id: Annotated[UUID | None, Field(examples=["9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34"])]
    """The user id of the operator; null for version 0."""
    created_at: Timestamp | None
    """When the version was stored; null for version 0."""


class PolicyView(PolicyVersionView):
    """The policy of a scope: its current version, and whether the scope is paused."""

    paused: bool
    """Whether new requests in this scope are refused with 503 AREA_PAUSED."""
    effective: Values
    """All values with which a broadcast of this scope begins now: those of the version, else those of `default`, else those of
    the environment."""


class ChangedValue(Wire):
    """A value that a new version would change."""

    setting: Annotated[str, Field(examples=["radiusStepSeconds"])]
    """The name of the value."""
    now: Annotated[Number | list[float], Field(examples=[15])]
    """The value with which a broadcast of this scope begins now. A scope without a policy has the values of `default`."""
    then: Annotated[Number | list[float], Field(examples=[10])]
    """The value with which it would begin."""


class OverlappingPolicy(Wire):
    """Another policy that is in force for some of the same requests."""

    scope: ScopeName
    version: PolicyVersionNumber
    takes_precedence: bool
    """True: requests for which both are in force get the other policy. False: they get the new version."""


class PolicyPreview(Wire):
    """What a new version would change. Nothing is stored."""

    scope: ScopeName
    version: PolicyVersionNumber
    """The number that the new version would get."""
    area_now: AreaOrNull
    area_then: AreaOrNull
    vehicle_types_now: VehicleTypes
    vehicle_types_then: VehicleTypes
    changes: list[ChangedValue]
    """The values that would change, by name."""
    overlaps: list[OverlappingPolicy]
    """The other policies, except `default`, that are in force for some of the same requests."""
    open_broadcasts: Annotated[int, Field(examples=[12])]
    """How many open broadcasts have begun with a version of this scope. They keep it."""

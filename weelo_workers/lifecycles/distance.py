"""Distances on the WGS 84 ellipsoid, and on a sphere by a simpler formula, which SQL queries can compute too."""

from __future__ import annotations

from math import asin, atan, cos, pi, radians, sin, sqrt, tan

# The WGS 84 ellipsoid.
_EQUATOR_KM = 6378.137
_FLATTENING = 1 / 298.257223563
# The radius of the sphere in the haversine formula. A distance by this formula and the real distance differ by
# SPHERE_ERROR (a factor) at most.
SPHERE_KM = 6371.0
SPHERE_ERROR = 1.01


def distance_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the distance in km between two positions in degrees, by Lambert's formula for long lines (1942).

    The error is some ten metres over thousands of km, and at most 0.5 % except for nearly antipodal points.
    geographiclib is exact but takes thirty times as long, too long for rings with hundreds of transporters.
    """
    one, other = _reduced(latitude), _reduced(to_latitude)
    half_lat, half_lon = (other - one) / 2, radians(to_longitude - longitude) / 2
    haversine = sin(half_lat) ** 2 + cos(one) * cos(other) * sin(half_lon) ** 2
    angle = 2 * asin(min(1.0, sqrt(haversine)))
    if angle < 1e-12 or haversine > 1 - 1e-12:
        return _EQUATOR_KM * angle
    middle = (one + other) / 2
    x = (angle - sin(angle)) * (sin(middle) * cos(half_lat) / cos(angle / 2)) ** 2
    y = (angle + sin(angle)) * (cos(middle) * sin(half_lat) / sin(angle / 2)) ** 2
    return _EQUATOR_KM * (angle - _FLATTENING / 2 * (x + y))


def half_chord_squared(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the square of half the chord between two positions on a unit sphere (the haversine formula's `a`).

    It grows with the distance. `queries.sphere.half_chord_squared` is the same in SQL.
    """
    by_latitude = sin(radians(to_latitude - latitude) / 2) ** 2
    by_longitude = sin(radians(to_longitude - longitude) / 2) ** 2
    return by_latitude + cos(radians(latitude)) * cos(radians(to_latitude)) * by_longitude


def half_chord_squared_of(km: float) -> float:
    """Return the square of half the chord on a unit sphere, for two positions that are `km` apart on the earth."""
    return sin(min(km / (2 * SPHERE_KM), pi / 2)) ** 2


def _reduced(latitude: float) -> float:
    """Return the parametric latitude in radians.

    At the poles the tangent is huge but finite, so the result is correct there too.
    """
    return atan((1 - _FLATTENING) * tan(radians(latitude)))

"""Distances on the WGS 84 ellipsoid."""

from __future__ import annotations

from math import asin, atan, cos, radians, sin, sqrt, tan

# WGS 84.
_EQUATOR_KM = 6378.137
_FLATTENING = 1 / 298.257223563


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


def _reduced(latitude: float) -> float:
    """Return the parametric latitude in radians. At the poles the tangent is huge but finite, so the result holds."""
    return atan((1 - _FLATTENING) * tan(radians(latitude)))

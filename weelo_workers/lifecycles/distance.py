"""How far it is from here to there on the Earth as it is: flattened."""

from __future__ import annotations

from math import asin, atan, cos, radians, sin, sqrt, tan

# WGS 84.
_EQUATOR_KM = 6378.137
_FLATTENING = 1 / 298.257223563


def distance_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Between two positions in degrees, by Lambert's formula for long lines (W. D. Lambert, 1942).

    Within some ten metres of the true geodesic over thousands of km, and within 0.5 % but for nearly antipodal
    points. geographiclib is exact and takes thirty times as long, which a ring with hundreds of hits would feel.
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
    """The parametric latitude, in radians. At the poles the tangent is huge, and its arc is the pole again."""
    return atan((1 - _FLATTENING) * tan(radians(latitude)))

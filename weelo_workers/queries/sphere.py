"""Compares distances on a sphere in SQL, by the square of half the chord, which needs no inverse function."""

from __future__ import annotations

from math import pi
from typing import Any

from sqlalchemy import ColumnElement, Float, Text, func, literal, literal_column

from weelo_workers.lifecycles.distance import SPHERE_KM
from weelo_workers.models import Broadcast


def _number(value: float) -> ColumnElement[float]:
    """Return the number as a constant in the statement's text, so that PostgreSQL can use its value while planning."""
    return literal_column(f"{value!r}::float8", Float())


_TWO = _number(2.0)


def half_chord_squared(
    latitude: float | ColumnElement[float],
    longitude: float | ColumnElement[float],
    to: ColumnElement[Any] | None = None,
) -> ColumnElement[float]:
    """Return the square of half the chord to the pickup on a unit sphere (the haversine formula's `a`).

    It grows with the distance. `lifecycles.distance.half_chord_squared` is the same in Python. `to`: another place than the
    pickup of a `Broadcast`, as JSON with `latitude` and `longitude`.
    """
    to_latitude, to_longitude = _degrees("latitude", to), _degrees("longitude", to)
    by_latitude = func.power(func.sin(func.radians(to_latitude - latitude) / _TWO), _TWO)
    by_longitude = func.power(func.sin(func.radians(to_longitude - longitude) / _TWO), _TWO)
    from_latitude = latitude if isinstance(latitude, ColumnElement) else literal(latitude)
    parallels = func.cos(func.radians(from_latitude)) * func.cos(func.radians(to_latitude))
    chord: ColumnElement[float] = by_latitude + parallels * by_longitude
    return chord


def half_chord_squared_of(km: ColumnElement[float]) -> ColumnElement[float]:
    """Return the square of half the chord on a unit sphere, for two positions that are `km` apart on the earth."""
    chord: ColumnElement[float] = func.power(
        func.sin(func.least(km / _number(2 * SPHERE_KM), _number(pi / 2))), _TWO
    )
    return chord


def _degrees(which: str, place: ColumnElement[Any] | None) -> ColumnElement[float]:
    of = Broadcast.pickup if place is None else place
    degrees: ColumnElement[float] = of[literal_column(f"'{which}'", Text())].as_float()
    return degrees

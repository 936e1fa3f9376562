"""Inserts many open requests in one town, all in the last step: it offers them to every matching transporter online."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from tests.support.people import Truck
from tests.support.system import System
from weelo_client import Place, WeeloClient
from weelo_workers.contracts.vehicle_kinds import vehicle_key

DELHI = (28.63, 77.22)
TOWNS: dict[str, tuple[float, float]] = {
    "Mumbai": (19.08, 72.88),
    "Kolkata": (22.57, 88.36),
    "Chennai": (13.08, 80.27),
    "Bengaluru": (12.97, 77.59),
    "Hyderabad": (17.39, 78.49),
    "Ahmedabad": (23.02, 72.57),
    "Nagpur": (21.15, 79.09),
    "Guwahati": (26.14, 91.74),
    "Kochi": (9.93, 76.27),
    "Srinagar": (34.08, 74.80),
}
KIND = ("trailer", "42 Ton")

_OPENED = """
    WITH opened AS (
      INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, trucks_needed,
                              request, keyed, radius_step, expires_at, created_at)
      SELECT gen_random_uuid(), 'booking', gen_random_uuid(), 'active', clock_timestamp(), 8,
             jsonb_build_object('latitude', :latitude, 'longitude', :longitude, 'address', 'Delhi'),
             jsonb_build_object('latitude', 26.9, 'longitude', 75.8, 'address', 'Jaipur'), 1,
             '{}', false, 5, clock_timestamp() + interval '10 min', clock_timestamp()
        FROM generate_series(1, :many)
      RETURNING id)
    INSERT INTO truck_requests (id, broadcast_id, request_number, vehicle_type, vehicle_subtype, vehicle_key, status,
                                state_changed_at)
    SELECT gen_random_uuid(), id, 1, :type, :subtype, :key, 'searching', clock_timestamp() FROM opened
    RETURNING broadcast_id
"""


@contextmanager
def surge(database: Engine, many: int) -> Iterator[None]:
    """Insert rows of `many` open requests in Delhi, and delete them afterwards."""
    parameters = {"many": many, "latitude": DELHI[0], "longitude": DELHI[1]}
    kind = {"type": KIND[0], "subtype": KIND[1], "key": vehicle_key(*KIND)}
    with database.begin() as connection:
        ids = list(connection.execute(text(_OPENED), {**parameters, **kind}).scalars())
    try:
        yield
    finally:
        with database.begin() as connection:
            connection.execute(text("DELETE FROM broadcasts WHERE id = ANY(:ids)"), {"ids": ids})


class TownTruck(Truck):
    """A transporter with one truck, online in the middle of a town."""

    def __init__(self, system: System, where: tuple[float, float]) -> None:
        self.where = where
        super().__init__(system, kind=KIND)
        self.client.heartbeat(*where)

    def comes_and_goes(self) -> None:
        self.available(False)
        self.available(True)
        self.client.heartbeat(*self.where)


def book_near(customer: WeeloClient, town: tuple[float, float], north: float) -> str:
    """Book a truck `north` degrees north of the town's middle, and return the booking's id."""
    pickup: Place = {"latitude": town[0] + north, "longitude": town[1], "address": "In town"}
    drop: Place = {"latitude": 26.9, "longitude": 75.8, "address": "Jaipur"}
    booking: dict[str, Any] = dict(customer.create_booking(pickup, drop, *KIND, trucks_needed=1))
    return str(booking["id"])

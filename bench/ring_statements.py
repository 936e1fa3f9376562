"""Compares the SQL statements of one ring with and without the rules that decide which fleets get its offers first."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, delete, text
from sqlalchemy.orm import Session

from bench.figures import Figure, percentile
from bench.run import Run
from weelo_workers.broadcasts.matching import THOSE_IN_PRESENCE, of_places
from weelo_workers.broadcasts.offering import INSERT_OFFERS
from weelo_workers.models import Broadcast, Relation, Transporter, Vehicle
from weelo_workers.models.environment_policy import environment_policy
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.open_offers import of_new_offer

FLEETS, OFFERS_EACH, KIND = 250, 40, "trailer:bench"
RULES = ("is_blocked", "preferred", "last_offered_at")
"""The columns that only these rules need. The search without the rules does not select these columns."""

FILL = """
    CREATE TEMPORARY TABLE bench_fleets ON COMMIT PRESERVE ROWS AS
        SELECT gen_random_uuid() AS id, n FROM generate_series(1, :fleets) AS n;
    INSERT INTO transporters (id, is_available) SELECT id, true FROM bench_fleets;
    INSERT INTO vehicles (id, transporter_id, vehicle_number, plate, vehicle_type, vehicle_subtype, vehicle_key, created_at)
        SELECT gen_random_uuid(), id, id, id, 'trailer', 'bench', :kind, now() FROM bench_fleets;
    CREATE TEMPORARY TABLE bench_broadcasts ON COMMIT PRESERVE ROWS AS
        SELECT gen_random_uuid() AS id, n FROM generate_series(0, :broadcasts) AS n;
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, trucks_needed, request,
                            keyed, radius_step, radius_km, transporters_notified, expires_at, created_at)
        SELECT id, 'booking', gen_random_uuid(), CASE WHEN n < 10 THEN 'active' ELSE 'expired' END, now(), 2,
               '{"latitude": 28.6, "longitude": 77.2, "address": "New Delhi"}',
               '{"latitude": 26.9, "longitude": 75.8, "address": "Jaipur"}', 1, '{}', true, 1, 10, 1,
               now() + interval '1 hour', now() FROM bench_broadcasts;
    INSERT INTO offers (broadcast_id, transporter_id, step, distance_km, version, offered_at)
        SELECT b.id, f.id, 1, f.n / 50.0, 2, now() - b.n * interval '1 minute'
          FROM bench_broadcasts b, bench_fleets f WHERE b.n > 0;
    INSERT INTO relations (customer_id, transporter_id, preferred_at)
        SELECT b.customer_id, f.id, now() FROM broadcasts b JOIN bench_broadcasts n USING (id), bench_fleets f WHERE n.n = 0 AND f.n % 10 = 0;
    ANALYZE transporters, vehicles, broadcasts, offers, relations
"""


def ring_statements(run: Run) -> list[Figure]:
    """Measure a ring that finds 250 fleets, with and without the rules. Each fleet has ten open and thirty past offers."""
    rounds = run.size(120, 3)
    with run.database() as engine:
        ring = _Ring(engine)
        taken: dict[str, list[float]] = {"without the rules": [], "with the rules": []}
        searches = {"without the rules": ring.without, "with the rules": THOSE_IN_PRESENCE}
        # The two variants take turns, so that other load on the machine slows both of them alike.
        for _ in range(rounds):
            for name, search in searches.items():
                taken[name].append(_seconds(lambda: ring.offer(search)))  # noqa: B023
        ring.remove()
    middle = {name: percentile(seconds, 0.5) for name, seconds in taken.items()}
    least = {name: min(seconds) for name, seconds in taken.items()}
    name = f"the statements of one ring, {FLEETS} fleets found"
    return [
        Figure(name, {each: seconds * 1000 for each, seconds in middle.items()}, "ms"),
        Figure(
            f"{name}: with ÷ without the rules",
            {
                "median": middle["with the rules"] / middle["without the rules"],
                "least": least["with the rules"] / least["without the rules"],
            },
            goal="1.1",
        ),
    ]


class _Ring:
    """A broadcast and fleets near its pickup. Offers are rolled back, so that every ring finds the same rows."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with engine.begin() as connection:
            self.fleets, self.broadcasts = _fill(connection)
        columns = [each for each in THOSE_IN_PRESENCE.selected_columns if each.key not in RULES]
        self.without: Select[Any] = (
            THOSE_IN_PRESENCE.with_only_columns(*columns)
            .order_by("km", "open_offers")
            .execution_options(**prepared("match_without_rules"))
        )

    def offer(self, search: Select[Any]) -> None:
        with Session(self.engine) as session:
            broadcast = session.get_one(Broadcast, self.broadcasts[0])
            now = broadcast.created_at + timedelta(seconds=1)
            near = {fleet: n / 50.0 for n, fleet in enumerate(self.fleets)}
            parameters = {
                "broadcast": broadcast.id,
                "customer": broadcast.customer_id,
                "kinds": [KIND],
                **of_places(near),
                **of_new_offer(broadcast, last_step=False, now=now),
            }
            found = session.execute(search, parameters).all()
            assert len(found) == FLEETS
            offers = {
                "offered_broadcast": broadcast.id,
                "offered_in_step": 1,
                "offered_in_version": 2,
                "cap": environment_policy().max_open_offers,
            }
            new = session.scalars(INSERT_OFFERS, {**parameters, **offers}).all()
            assert len(new) == FLEETS
            session.rollback()

    def remove(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(Broadcast).where(Broadcast.id.in_(self.broadcasts)))
            connection.execute(delete(Vehicle).where(Vehicle.transporter_id.in_(self.fleets)))
            connection.execute(delete(Transporter).where(Transporter.id.in_(self.fleets)))
            connection.execute(delete(Relation).where(Relation.transporter_id.in_(self.fleets)))


def _fill(connection: Connection) -> tuple[list[UUID], list[UUID]]:
    parameters = {"fleets": FLEETS, "broadcasts": OFFERS_EACH, "kind": KIND}
    for statement in FILL.split(";\n"):
        connection.execute(text(statement), parameters)
    fleets = connection.execute(text("SELECT id FROM bench_fleets ORDER BY n")).scalars()
    broadcasts = connection.execute(text("SELECT id FROM bench_broadcasts ORDER BY n")).scalars()
    return list(fleets), list(broadcasts)


def _seconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began

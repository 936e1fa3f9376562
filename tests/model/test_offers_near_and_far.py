"""Fleets and requests of several towns come and go. The offers are compared with a model of all open offers.

`WEELO_MODEL_EXAMPLES=500 pytest tests/model` searches longer, with other random examples in each run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings as hypothesis_settings, strategies as st

from tests.support.changed_settings import with_settings
from tests.support.world import DELHI, KM_NORTH, Fleet, World, place
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.offer_cap import OfferRank, counts_against
from weelo_workers.presence import Point
from weelo_workers.redis_client import redis

LOOK = int(os.environ.get("WEELO_MODEL_EXAMPLES", "0"))
CAP = 1
TOWNS_KM_NORTH = (0.0, -1142.0, 300.0)
RINGS = 4

kilometres = st.sampled_from((0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0))
town = st.sampled_from((0, 0, 1, 2, 2))
which = st.integers(0, 4)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("asks"), town, kilometres),
        st.tuples(st.just("asks"), town, kilometres),
        st.tuples(st.just("asks"), town, kilometres),
        st.tuples(st.just("joins"), town, kilometres),
        st.tuples(st.just("comes_or_goes"), which, st.none()),
        st.tuples(st.just("moves"), which, town),
        st.tuples(st.just("declines"), which, st.none()),
        st.tuples(st.just("cancels"), which, st.none()),
        st.tuples(st.just("time_passes"), st.sampled_from((16, 31, 121)), st.none()),
    ),
    min_size=10,
    max_size=20,
)


def reach_of(offer: Any) -> OfferRank:
    pickup = (offer.pickup["latitude"], offer.pickup["longitude"])
    return OfferRank(offer.distance_km, offer.last_step, pickup=pickup)


class Towns:
    """Runs the acts, and tracks in its own model which offers are open."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.world.empty()
        self.fleets: list[tuple[Fleet, float]] = []
        self.online: set[UUID] = set()
        self.open_before: dict[tuple[UUID, UUID], OfferRank] = {}
        self.known: set[tuple[UUID, UUID]] = set()
        for town in range(len(TOWNS_KM_NORTH) - 1):
            self.joins(town, 0.0)

    def asks(self, town: int, km: float) -> None:
        self.world.book(uuid4(), at=place(TOWNS_KM_NORTH[town] + km))

    def joins(self, town: int, km: float) -> None:
        if len(self.fleets) < 5:
            where = TOWNS_KM_NORTH[town] - km
            fleet = self.world.fleet(km_north=where)
            self.fleets.append((fleet, where))
            self.online.add(fleet.id)

    def comes_or_goes(self, which: int, _: None) -> None:
        if self.fleets:
            fleet, where = self.fleets[which % len(self.fleets)]
            online = fleet.id not in self.online
            if self.world.set_availability(fleet, online=online).status == "succeeded":
                self.online ^= {fleet.id}
            if online:
                self.world.heartbeat(fleet, where)

    def moves(self, which: int, town: int) -> None:
        fleet, _ = self.fleets[which % len(self.fleets)]
        where = TOWNS_KM_NORTH[town] - 0.5
        self.fleets[which % len(self.fleets)] = fleet, where
        if fleet.id in self.online:
            self.world.heartbeat(fleet, where)

    def declines(self, which: int, _: None) -> None:
        offers = sorted(self.open_before)
        if offers:
            broadcast, who = offers[which % len(offers)]
            fleet = next(fleet for fleet, _ in self.fleets if fleet.id == who)
            self.world.decline(fleet, broadcast)

    def cancels(self, which: int, _: None) -> None:
        rows = self.world.rows(
            "SELECT id FROM broadcasts WHERE status = ANY(:open) ORDER BY created_at", open=list(OPEN)
        )
        if rows:
            self.world.cancel(rows[which % len(rows)].id)

    def time_passes(self, seconds: int, _: None) -> None:
        self.world.tick(seconds)

    def everybody_is_heard(self) -> None:
        """Send two heartbeats of every online transporter, and execute the commands that follow from them.

        A heartbeat causes late offers: the transporter may have driven into a ring, or may have room for further offers.
        """
        for _ in range(2):
            for pattern in ("weelo:open:asked:*", "weelo:open:moved:*"):
                for key in redis().scan_iter(pattern):
                    redis().delete(key)
            for fleet, where in self.fleets:
                if fleet.id in self.online:
                    self.world.heartbeat(fleet, where)
            self.world.drain()

    # --- invariants ------------------------------------------------------------------------------

    def check(self) -> None:
        rows = self.world.rows(
            "SELECT o.*, b.status, b.pickup FROM offers o JOIN broadcasts b ON b.id = o.broadcast_id"
            " ORDER BY o.offered_at, o.distance_km, o.broadcast_id"
        )
        self._the_cap_was_kept(rows)
        self._nobody_with_room_was_left_out(rows)

    def _the_cap_was_kept(self, rows: list[Any]) -> None:
        """Assert that no transporter got more offers than CAP permits.

        A new offer is wrong if the transporter already had CAP open offers that are as near as the new one or nearer.
        Offers that ended during the act are not counted, because they may have ended before the new offer was made.
        """
        still_open = {
            (row.broadcast_id, row.transporter_id): reach_of(row)
            for row in rows
            if row.declined_at is None and row.status in OPEN
        }
        open_offers: dict[UUID, list[OfferRank]] = defaultdict(list)
        for key in self.open_before.keys() & still_open.keys():
            open_offers[key[1]].append(still_open[key])
        for row in rows:
            key, new = (row.broadcast_id, row.transporter_id), reach_of(row)
            if key not in self.known:
                against = [each for each in open_offers[row.transporter_id] if counts_against(each, new)]
                assert len(against) < CAP, f"{new} was offered beside {against}"
                open_offers[row.transporter_id].append(new)
        self.known = {(row.broadcast_id, row.transporter_id) for row in rows}
        self.open_before = still_open

    def _nobody_with_room_was_left_out(self, rows: list[Any]) -> None:
        """Assert that every transporter within an open request's ring has an offer of this request.

        The only exception: the transporter has CAP other open offers that are as near or nearer.
        """
        offered = {(row.broadcast_id, row.transporter_id) for row in rows}
        broadcasts = self.world.rows(
            "SELECT * FROM broadcasts WHERE status = ANY(:open) AND radius_step > 0",
            open=list(OPEN),
        )
        for broadcast in broadcasts:
            pickup = Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"])
            for fleet, where in self.fleets:
                km = pickup.km_to(Point(DELHI[0] + where * KM_NORTH, DELHI[1]))
                missed = (broadcast.id, fleet.id) not in offered
                if fleet.id in self.online and km <= (broadcast.radius_km or 10) and missed:
                    at = (pickup.latitude, pickup.longitude)
                    new = OfferRank(km, last_step=broadcast.radius_step > RINGS, pickup=at)
                    mine = [reach for (_, who), reach in self.open_before.items() if who == fleet.id]
                    against = [each for each in mine if counts_against(each, new)]
                    assert len(against) >= CAP, f"{new} was not offered beside {mine}"


def test_RADI_01_far_offers_never_prevent_near_ones(migrated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, max_open_offers=CAP)
    world = World()

    @hypothesis_settings(
        max_examples=LOOK or 6,
        deadline=None,
        derandomize=not LOOK,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(acts)
    def play(these: list[tuple[str, Any, Any]]) -> None:
        towns = Towns(world)
        for name, first, second in these:
            getattr(towns, name)(first, second)
            world.drain()
            towns.check()
            towns.everybody_is_heard()
            towns.check()

    play()

"""The demo's two hundred transporters, in the towns around Delhi in proportion to their population.

Places and vehicle kinds are the same in every run (one seed). Ids and number plates are new in every run, so that the
demo can be played again on the same data.
"""

from __future__ import annotations

import random
import secrets
import string
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

from weelo_client import WeeloError
from weelo_demo.people import (
    CONTAINER,
    LCV,
    OPEN,
    TIPPER,
    TRAILER,
    Driver,
    Installation,
    Transporter,
    Truck,
    VehicleKind,
)
from weelo_demo.towns import CONNAUGHT_PLACE, Point, Town, distance_km, scattered, shared_out, towns_around

SIZE = 200
WITHIN_KM = 120.0
SCATTER_KM = 4.0
SEED = 1911
OUTSIDE_THE_CITY_KM = (30.0, 45.0)
HEARTBEAT_SECONDS = 20.0  # presence lasts 60 s, so two heartbeats may be lost
HANDS = 12  # the number of concurrent requests while all transporters sign on or off


class Fleet:
    """All transporters of the demo. As a context manager it takes all of them offline at the end."""

    def __init__(self, transporters: list[Transporter]) -> None:
        self.transporters = transporters
        self._online: list[Transporter] = []
        self._stopped = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="heartbeats", daemon=True)

    @property
    def towns(self) -> set[Town]:
        return {transporter.town for transporter in self.transporters}

    @property
    def trucks(self) -> list[Truck]:
        return [truck for transporter in self.transporters for truck in transporter.trucks]

    def nearest(self, kind: VehicleKind, to: Point, count: int, within_km: float) -> list[Transporter]:
        """Return at most `count` transporters who have a truck of this kind, nearest first."""
        near = [(distance_km(t.at, to), t) for t in self.transporters if t.truck(kind)]
        near.sort(key=lambda pair: pair[0])
        return [transporter for km, transporter in near if km <= within_km][:count]

    def sign_on(self, each_done: Callable[[Transporter], None] = lambda _: None) -> None:
        """Register all transporters and take them online. Raises the first WeeloError."""

        def online(transporter: Transporter) -> None:
            self._online.append(transporter)
            each_done(transporter)

        # Heartbeats start before the sign-on. On a busy machine the sign-on takes so long that without heartbeats the
        # presence of the first transporters would expire.
        self._beating.start()
        _all(self.transporters, Transporter.sign_on, online)

    def leave(self) -> None:
        """Close all sockets and take all online transporters offline. If the server is down, their presence expires."""
        self._stopped.set()
        if self._beating.is_alive():
            self._beating.join(timeout=HEARTBEAT_SECONDS)
        for transporter in self.transporters:
            for person in (transporter, *(truck.driver for truck in transporter.trucks)):
                person.hang_up()
        _all(tuple(self._online), _sign_off, lambda _: None)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            _all(tuple(self._online), self._heartbeat, lambda _: None)

    def _heartbeat(self, transporter: Transporter) -> None:
        if not self._stopped.is_set():
            with suppress(WeeloError):
                transporter.still_here()


def cast(installation: Installation, size: int = SIZE) -> Fleet:
    """Return the demo's transporters. The server does not know them until `sign_on` is called."""
    dice = random.Random(SEED)
    plates = Plates()
    transporters: list[Transporter] = []
    for town, share in shared_out(size, towns_around(CONNAUGHT_PLACE, WITHIN_KM)).items():
        for number in range(1, share + 1):
            at = scattered(town, SCATTER_KM, dice)
            transporter = Transporter(installation, f"Transporter {number} of {town.name}", town, at)
            for kind in _kinds(at, dice):
                order = len(transporter.trucks) + 1
                driver = Driver(installation, f"Driver {order} of {transporter.name}")
                phone = f"+91 90000 {dice.randrange(100_000):05d}"
                transporter.trucks.append(Truck(plates.next(town), kind, driver, phone))
            transporters.append(transporter)
    return Fleet(transporters)


class Plates:
    """Makes number plates that no other run of the demo uses, such as `HR26 K3F9QZ 0042`."""

    def __init__(self) -> None:
        self._run = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(6))
        self._count = 0

    def next(self, town: Town) -> str:
        self._count += 1
        district = 1 + town.population % 98
        return f"{town.plate_letters}{district:02d} {self._run} {self._count:04d}"


def _kinds(at: Point, dice: random.Random) -> list[VehicleKind]:
    """Return a fleet's kinds of vehicles: open trucks, special kinds at random, long trailers just outside the city."""
    special = dice.sample((CONTAINER, TIPPER, LCV), dice.choices((0, 1, 2), (65, 30, 5))[0])
    nearest, farthest = OUTSIDE_THE_CITY_KM
    if nearest <= distance_km(CONNAUGHT_PLACE, at) <= farthest:
        return [OPEN, TRAILER, *special[:1]]
    return [OPEN, *special]


def _sign_off(transporter: Transporter) -> None:
    with suppress(WeeloError):
        transporter.sign_off()


def _all(
    transporters: Iterable[Transporter],
    act: Callable[[Transporter], None],
    each_done: Callable[[Transporter], None],
) -> None:
    """Run `act` for all transporters, HANDS at a time.

    The first exception is raised, and calls that have not begun are cancelled.
    """
    with ThreadPoolExecutor(HANDS, thread_name_prefix="fleet") as pool:
        under_way = {pool.submit(act, transporter): transporter for transporter in transporters}
        try:
            for done in as_completed(under_way):
                done.result()
                each_done(under_way[done])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

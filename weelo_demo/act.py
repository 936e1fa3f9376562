"""One scenario while it is played: its people, the frames they receive, its times and its result."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeVar

from weelo_client import Frame, FrameTimeout, Rejected, WeeloError
from weelo_client.shapes import Broadcast, VehicleRequirement
from weelo_demo.fleet import Fleet
from weelo_demo.people import (
    Customer,
    Driver,
    Installation,
    Operator,
    Person,
    Transporter,
    Truck,
    VehicleKind,
    place,
)
from weelo_demo.telling import says
from weelo_demo.towns import CONNAUGHT_PLACE, Point, moved

T = TypeVar("T")
BroadcastKind = Literal["booking", "order"]

HEARS_SECONDS = 10.0  # how long to wait for a frame that should come at once
NEAR_KM = 10.0
DROP = place(moved(CONNAUGHT_PLACE, -14.0, 7.0), "Inland Container Depot, Tughlakabad")


class NotAsItShould(AssertionError):
    """The system did not do what the contract promises."""


class Skipped(Exception):
    """The scenario cannot be played to its end on this server. The message says why."""


class State(Enum):
    WAITING = "waiting"
    PLAYING = "playing"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


OVER = frozenset({State.DONE, State.FAILED, State.SKIPPED})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the show: an action or a frame. `at` is a time on this machine's monotonic clock."""

    at: float
    who: str
    event: str
    what: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario. `play` performs it, checks it, and returns a summary in a few words."""

    letter: str
    title: str
    play: Callable[[Act], str]
    long: bool = False
    """Whether the scenario waits for timers of the server. Such scenarios start first and run beside the others."""


class Act:
    """A scenario being played: its people, their actions, and the scenario's assertions."""

    def __init__(self, scenario: Scenario, installation: Installation, fleet: Fleet) -> None:
        self.scenario = scenario
        self.state = State.WAITING
        self.happened = ""
        self.took: list[tuple[str, float]] = []
        self.began = self.ended = 0.0
        self._installation = installation
        self._fleet = fleet
        self._customers: list[Customer] = []
        self._broadcasts: list[tuple[Customer, str, BroadcastKind]] = []
        self._watched: list[Person] = []
        self._notes: list[Line] = []

    def run(self) -> None:
        """Play the scenario, record its result, and cancel what it leaves open."""
        self.began = time.monotonic()
        self.state = State.PLAYING
        try:
            self.happened = self.scenario.play(self)
            verdict = State.DONE
        except Skipped as why:
            self.happened, verdict = str(why), State.SKIPPED
        except (NotAsItShould, WeeloError) as wrong:
            self.happened, verdict = str(wrong), State.FAILED
        except Exception as defect:  # noqa: BLE001 (a defect of the demo must not end the other scenarios)
            self.happened, verdict = f"the demo itself failed: {defect!r}", State.FAILED
        self.ended = time.monotonic()
        self.state = verdict
        self._tidy()

    @property
    def seconds(self) -> float:
        if self.state is State.WAITING:
            return 0.0
        return (self.ended if self.state in OVER else time.monotonic()) - self.began

    # --- people -------------------------------------------------------------------------------------------

    def customer(self) -> Customer:
        """Return a new customer with an open socket."""
        customer = Customer(self._installation, "The customer")
        self._customers.append(customer)
        customer.listen()
        self.watch(customer)
        return customer

    def operator(self) -> Operator:
        """Return an operator of the installation."""
        return Operator(self._installation, "The operator")

    def transporters(
        self,
        kind: VehicleKind,
        near: Point,
        count: int = 1,
        *,
        within_km: float = NEAR_KM,
        at_least: int | None = None,
    ) -> list[Transporter]:
        """Return the nearest transporters who have a truck of this kind. Their sockets are open."""
        found = self._fleet.nearest(kind, near, count, within_km)
        self.check(
            len(found) >= (count if at_least is None else at_least),
            f"the fleet has only {len(found)} transporters with {kind} within {within_km:g} km",
        )
        together([transporter.listen for transporter in found])
        return found

    def driver(self, truck: Truck) -> Driver:
        """Return the truck's driver with an open socket."""
        truck.driver.listen()
        return truck.driver

    def watch(self, *people: Person) -> None:
        """Show the frames of this scenario that these people receive."""
        self._watched.extend(people)

    # --- actions ------------------------------------------------------------------------------------------

    def ask(self, customer: Customer, kind: VehicleKind, trucks: int, near: Point, address: str) -> Broadcast:
        """Create a booking from `near` to the container depot at Tughlakabad."""
        self.note(customer.name, "asks", f"{trucks} × {kind} at {address}")
        booking = customer.client.create_booking(
            pickup=place(near, address),
            drop=DROP,
            vehicle_type=kind.vehicle_type,
            vehicle_subtype=kind.vehicle_subtype,
            trucks_needed=trucks,
            goods_type="Household goods",
        )
        self.about(customer, booking["id"])
        return booking

    def order(
        self, customer: Customer, wanted: Mapping[VehicleKind, int], near: Point, address: str
    ) -> Broadcast:
        """Create an order to the same depot as `ask`, for the given number of trucks of each kind."""
        asked = ", ".join(f"{count} × {kind}" for kind, count in wanted.items())
        self.note(customer.name, "asks", f"{asked} at {address}")
        rows: list[VehicleRequirement] = [
            {
                "vehicleType": kind.vehicle_type,
                "vehicleSubtype": kind.vehicle_subtype,
                "quantity": count,
            }
            for kind, count in wanted.items()
        ]
        order = customer.client.create_order(place(near, address), DROP, rows, goods_type="Steel")
        self.about(customer, order["id"], "order")
        return order

    def about(self, customer: Customer, broadcast_id: str, kind: BroadcastKind = "booking") -> None:
        """Record that a broadcast belongs to the scenario."""
        self._broadcasts.append((customer, broadcast_id, kind))

    # --- assertions ---------------------------------------------------------------------------------------

    def check(self, fact: bool, otherwise: str) -> None:
        if not fact:
            raise NotAsItShould(otherwise)

    def hears(
        self,
        person: Person,
        event: str,
        *,
        within: float = HEARS_SECONDS,
        after: Frame | None = None,
        **data: object,
    ) -> Frame:
        """Return this person's first frame of this event after the frame `after`. Wait for at most `within` seconds."""
        last = -1 if after is None else after.seq or 0

        def wanted(frame: Frame) -> bool:
            return frame.event == event and (frame.seq or 0) > last

        try:
            return person.listen().wait_for(wanted, within=within, **data)
        except FrameTimeout as silence:
            raise NotAsItShould(f"{person.name} waits for {event}: {silence}") from None

    def refused(self, person: Person, does: str, call: Callable[[], object], *, code: str) -> Rejected:
        """Assert that a call is rejected with this code, and return the rejection."""
        try:
            call()
        except Rejected as answer:
            self.note(person.name, does, f"{answer.status} {answer.code}")
            self.check(answer.code == code, f"{person.name} {does} and reads {answer.code} instead of {code}")
            return answer
        raise NotAsItShould(f"{person.name} {does}, and it is granted instead of refused with {code}")

    def measured(self, step: str, seconds: float) -> None:
        self.took.append((step, seconds))

    def note(self, who: str, event: str, what: str) -> None:
        self._notes.append(Line(time.monotonic(), who, event, what))

    # --- for the show -------------------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        """Return the scenario's actions and frames until its end, in order.

        Frames that `_tidy` causes come later and are left out.
        """
        until = self.ended or math.inf
        lines_so_far = [line for line in (*self._notes, *self._received_frames()) if line.at <= until]
        return sorted(lines_so_far, key=lambda line: line.at)

    def _received_frames(self) -> list[Line]:
        ids = {broadcast_id for _, broadcast_id, _ in self._broadcasts}
        return [
            Line(frame.received, person.name, frame.event, what)
            for person in self._watched
            if person.channel is not None
            for frame in person.channel.frames
            # Frames of transporters and drivers may belong to other scenarios, but a customer takes part in this
            # scenario only.
            if person in self._customers or frame.data.get("broadcastId") in ids
            if (what := says(frame)) is not None
        ]

    def history(self) -> list[str]:
        """Return the server's timelines of the last broadcasts, to explain a failure."""
        text: list[str] = []
        for customer, broadcast_id, _ in self._broadcasts[-3:]:
            text.append(f"broadcast {broadcast_id} of customer {customer.id}")
            try:
                entries = customer.client.timeline(broadcast_id)
            except WeeloError as unknown:
                text.append(f"  no timeline: {unknown}")
                continue
            text += [
                f"  {entry['at']}  {entry['subject']:<14} {entry['fromStatus'] or '–'} → {entry['toStatus']}"
                f"  v{entry['version']}  by {entry['cause']}"
                for entry in entries
            ]
        return text

    def _tidy(self) -> None:
        """Cancel the broadcasts that are still open, so that no driver gets an assignment after the scenario has ended."""
        for customer, broadcast_id, kind in self._broadcasts:
            cancel = customer.client.cancel_order if kind == "order" else customer.client.cancel_booking
            with suppress(WeeloError):
                cancel(broadcast_id, reason="the demo is over", wait=0)
        for customer in self._customers:
            customer.hang_up()


def together(
    calls: Sequence[Callable[[], T]], head_starts: Sequence[float] | None = None
) -> list[T | Rejected]:
    """Make all calls at the same moment, each in a thread, and return their results or Rejected.

    `head_starts`: for how many seconds each call is delayed. Exceptions other than Rejected are raised.
    """
    answers: list[T | Rejected | BaseException | None] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def one(index: int) -> None:
        try:
            start.wait(timeout=HEARS_SECONDS)
            if head_starts is not None:
                time.sleep(head_starts[index])
            answers[index] = calls[index]()
        except BaseException as problem:  # noqa: BLE001 (the calling thread raises it)
            answers[index] = problem

    threads = [threading.Thread(target=one, args=(index,), daemon=True) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Rejected):
            raise answer
    return answers  # type: ignore[return-value]

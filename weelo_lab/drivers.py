"""The drivers of a run: they accept trips or not, and drive."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import Any
from uuid import UUID

from weelo_demo.towns import distance_km
from weelo_lab.customers import Asked, Customers
from weelo_lab.demand import HOUR, stream
from weelo_lab.engine import Engine, Outcome
from weelo_lab.fleet import Fleet
from weelo_lab.habits import Driving
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import AdvanceTrip, DriverAccepts, DriverDeclines, GiveBack


class Drivers:
    """Plays all drivers of one run."""

    def __init__(self, lab: Engine, driving: Driving, customers: Customers, seed: str) -> None:
        self._lab, self._driving, self._customers, self._seed = lab, driving, customers, seed
        self._fleets: dict[UUID, Fleet] = {}

    def add(self, driver_id: UUID, fleet: Fleet) -> None:
        """Let this driver drive for a fleet."""
        self._fleets[driver_id] = fleet

    def on_trip(self, driver_id: UUID, assignment: dict[str, Any]) -> None:
        """Answer a trip as this driver, and drive. Do nothing if no driver of the run has this id."""
        fleet = self._fleets.get(driver_id)
        if fleet is None:
            return
        asked = self._customers.of_broadcast(UUID(assignment["broadcastId"]))
        number = asked.plan.number if asked is not None else None
        place = fleet.drivers.index(driver_id)
        dice = stream(self._seed, "driver", fleet.plan.number, place, "request", number)
        answers = fleet.plan.group.answers
        accepts, declines, noise = dice.random(), dice.random(), dice.gauss(0.0, 1.0)
        seconds = round(answers.driver_seconds * math.exp(answers.spread * noise), 3)
        caller = Caller(driver_id, Role.DRIVER)
        assignment_id = UUID(assignment["id"])
        if accepts < answers.driver_accepts:
            command = DriverAccepts(assignment_id=assignment_id, driver_id=driver_id)
            then = partial(self._driver_accepted, fleet, driver_id, assignment, dice)
            self._lab.after(seconds, partial(self._lab.post, command, caller, then))
        elif declines < answers.driver_declines:
            refusal = DriverDeclines(
                assignment_id=assignment_id, driver_id=driver_id, reason_code=ProviderReason.OTHER
            )
            self._lab.after(seconds, partial(self._lab.post, refusal, caller))

    def _driver_accepted(
        self,
        fleet: Fleet,
        driver_id: UUID,
        assignment: dict[str, Any],
        dice: random.Random,
        outcome: Outcome,
    ) -> None:
        asked = self._customers.of_broadcast(UUID(assignment["broadcastId"]))
        if outcome.status != "succeeded" or asked is None:
            return
        driving = self._driving
        answers = fleet.plan.group.answers
        after = driving.sets_out_seconds * dice.uniform(0.5, 1.5)
        gives_back, sets_out = dice.random(), dice.random()
        if sets_out < answers.does_not_set_out:
            return
        if gives_back < answers.gives_back:
            back = GiveBack(
                assignment_id=UUID(assignment["id"]),
                user_id=driver_id,
                role=Role.DRIVER,
                reason_code=ProviderReason.BREAKDOWN,
            )
            self._lab.after(round(after, 3), partial(self._lab.post, back, Caller(driver_id, Role.DRIVER)))
            return
        to_pickup = distance_km(fleet.at, asked.plan.pickup) / driving.kmh * HOUR
        trip = distance_km(asked.plan.pickup, asked.plan.drop) / driving.kmh * HOUR
        loading = driving.loading_minutes * 60 * dice.uniform(0.5, 1.5)
        unloading = driving.unloading_minutes * 60 * dice.uniform(0.5, 1.5)
        steps = [
            (after, AssignmentStatus.EN_ROUTE_PICKUP),
            (to_pickup, AssignmentStatus.AT_PICKUP),
            (loading, AssignmentStatus.LOADING_COMPLETE),
            (0.0, AssignmentStatus.IN_TRANSIT),
            (trip, AssignmentStatus.ARRIVED_AT_DROP),
            (unloading, AssignmentStatus.COMPLETED),
        ]
        self._drive(fleet, driver_id, UUID(assignment["tripId"]), steps, asked)

    def _drive(
        self,
        fleet: Fleet,
        driver_id: UUID,
        trip_id: UUID,
        steps: list[tuple[float, AssignmentStatus]],
        asked: Asked,
    ) -> None:
        """Report the next status of the trip when its time has come, and then the others."""
        (seconds, status), rest = steps[0], steps[1:]
        command = AdvanceTrip(trip_id=trip_id, driver_id=driver_id, status=status)

        def reported(outcome: Outcome) -> None:
            if outcome.status != "succeeded":
                return  # The trip has ended in another way, so no other status is reported.
            if rest:
                self._drive(fleet, driver_id, trip_id, rest, asked)
            elif fleet.plan.trucks == 1:
                # A single truck stays at the drop. Trucks of larger fleets return to their yard.
                fleet.at = asked.plan.drop

        caller = Caller(driver_id, Role.DRIVER)
        self._lab.after(round(seconds, 3), partial(self._lab.post, command, caller, reported))

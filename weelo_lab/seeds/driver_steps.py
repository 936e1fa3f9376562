"""The steps of drivers: each sends a command as an app or the console does.

The functions are registered by their decorators; scripts call them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from weelo_lab.seeds.script import step_kind
from weelo_lab.seeds.stage import Stage
from weelo_lab.seeds.values import a_fleet, newest, one_of, which, yes_or_no
from weelo_workers.contracts.fleet import SetDriverAvailability
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import (
    AdvanceTrip,
    DriverAccepts,
    DriverDeclines,
    ReportNoShow,
)
from weelo_workers.lifecycles.assignment import STEPS


@step_kind(
    "the driver of truck {truck} of request {request} accepts",
    8,
    commands=(DriverAccepts.name,),
    request=newest,
    truck=which,
)
def driver_accepts(stage: Stage, request: int, truck: int) -> None:
    if found := stage.truck(request, truck, first="pending"):
        command = DriverAccepts(assignment_id=found.id, driver_id=found.driver_id)
        stage.post(command, found.driver_id, Role.DRIVER)


@step_kind(
    "the driver of truck {truck} of request {request} declines",
    2,
    commands=(DriverDeclines.name,),
    request=newest,
    truck=which,
)
def driver_declines(stage: Stage, request: int, truck: int) -> None:
    if found := stage.truck(request, truck, first="pending"):
        command = DriverDeclines(assignment_id=found.id, driver_id=found.driver_id)
        stage.post(command, found.driver_id, Role.DRIVER)


@step_kind(
    "a replaced driver of truck {truck} of request {request} accepts",
    1,
    request=newest,
    truck=which,
)
def replaced_driver_accepts(stage: Stage, request: int, truck: int) -> None:
    found = stage.truck(request, truck)
    if found and found.replaced_drivers:
        driver_id = UUID(found.replaced_drivers[-1])
        stage.post(DriverAccepts(assignment_id=found.id, driver_id=driver_id), driver_id, Role.DRIVER)


@step_kind(
    "the driver of truck {truck} of request {request} reports the status {status}",
    6,
    commands=(AdvanceTrip.name,),
    request=newest,
    truck=which,
    status=one_of(*["next"] * 6, *STEPS),
)
def report(stage: Stage, request: int, truck: int, status: str) -> None:
    if found := stage.truck(request, truck):
        command = AdvanceTrip(
            trip_id=found.trip_id, driver_id=found.driver_id, status=_status(status, found.status)
        )
        stage.post(command, found.driver_id, Role.DRIVER)


def _status(wanted: str, now: str) -> AssignmentStatus:
    """Return the status with this name; `next`: the one that follows the present one."""
    if wanted != "next":
        return AssignmentStatus(wanted)
    steps: Sequence[AssignmentStatus] = STEPS
    return steps[min(steps.index(AssignmentStatus(now)) + 1, len(steps) - 1)] if now in steps else steps[0]


@step_kind(
    "the driver of truck {truck} of request {request} reports that the customer did not come",
    1,
    commands=(ReportNoShow.name,),
    request=newest,
    truck=which,
)
def report_no_show(stage: Stage, request: int, truck: int) -> None:
    if found := stage.truck(request, truck, first="at_pickup"):
        stage.post(
            ReportNoShow(assignment_id=found.id, driver_id=found.driver_id), found.driver_id, Role.DRIVER
        )


@step_kind(
    "driver {driver} of fleet {fleet} is on duty: {on}",
    1,
    commands=(SetDriverAvailability.name,),
    fleet=a_fleet,
    driver=one_of(0, 1),
    on=yes_or_no,
)
def go_on_duty(stage: Stage, fleet: int, driver: int, on: bool) -> None:
    trucks = stage.fleet(fleet).trucks
    driver_id = trucks[driver % len(trucks)].driver_id
    stage.post(SetDriverAvailability(driver_id=driver_id, is_available=on), driver_id, Role.DRIVER)

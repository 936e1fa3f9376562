"""The steps of faults. Each prepares a fault for a command's next message, commit or execution, or causes one at once.

The functions are registered by their decorators; scripts call them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from weelo_lab.seeds import driver_steps, operator_steps, people_steps, values
from weelo_lab.seeds.interruptions import Interruption
from weelo_lab.seeds.script import step_kind
from weelo_lab.seeds.scripted_faults import ANY
from weelo_lab.seeds.stage import Stage
from weelo_lab.seeds.values import one_of, yes_or_no
from weelo_lab.virtual_clock import SECOND
from weelo_workers.messaging.wakeup import WakeUp

OFTEN = (
    *("broadcasts.create_booking", "broadcasts.cancel", "broadcasts.expire", "broadcasts.widen"),
    *("broadcasts.reoffer", "broadcasts.catch_up", "broadcasts.offer_late", "fleet.sync_presence"),
    *("offers.accept", "offers.hold", "offers.confirm_hold", "offers.expire_hold"),
    *("trips.driver_accept", "trips.driver_decline", "trips.expire_assignment"),
    *("trips.give_back", "trips.replace", "trips.cancel_truck"),
)
"""The commands whose order matters most."""

# The names are listed here, because the registry of commands contains only commands of modules that are imported.
OF_TIMERS = (
    *("broadcasts.expire", "broadcasts.widen", "offers.expire_hold", "trips.expire_assignment"),
    *("trips.give_back_stalled", "trips.remind_to_start", "trips.report_stalled"),
)

a_command = one_of(*OFTEN, *[ANY] * len(OFTEN))
later = one_of(0.0, 0.5, 2.0, 5.0, 30.0, 130.0)
COMMIT = 99
"""No transaction has as many statements, so the commit is meant."""
a_statement = one_of(2, 3, 4, 5, 6, 8, 10, COMMIT, COMMIT)


@step_kind("the next wake-up of {command} is lost", 4, is_fault=True, command=a_command)
def lose(stage: Stage, command: str) -> None:
    stage.faults.prepare_message(command, [])


@step_kind(
    "the next wake-up of {command} comes {seconds:g} s later",
    3,
    is_fault=True,
    command=a_command,
    seconds=later,
)
def delay(stage: Stage, command: str, seconds: float) -> None:
    stage.faults.prepare_message(command, [seconds])


@step_kind(
    "the next wake-up of {command} comes again {seconds:g} s later",
    3,
    is_fault=True,
    command=a_command,
    seconds=later,
)
def double(stage: Stage, command: str, seconds: float) -> None:
    stage.faults.prepare_message(command, [0.0, seconds])


@step_kind(
    "the newest wake-up of {command} is delivered now, early or again",
    3,
    is_fault=True,
    command=one_of(*OFTEN, *OF_TIMERS),
)
def deliver(stage: Stage, command: str) -> None:
    query = "SELECT id, queue FROM mailbox WHERE name = :name ORDER BY received_at DESC, id LIMIT 1"
    for row in stage.rows(query, name=command):
        stage.faults.happened += 1
        stage.lab.after(0, partial(stage.lab.deliver, WakeUp(row.id, command, row.queue)))


@step_kind(
    "the worker ends after the next commit of {command}, before its wake-ups follow",
    4,
    is_fault=True,
    command=a_command,
)
def crash(stage: Stage, command: str) -> None:
    stage.faults.prepare_crash(command)


@step_kind(
    "the worker is killed before statement {statement} of the next {command}; its message is delivered again: {again}",
    3,
    is_fault=True,
    command=a_command,
    statement=a_statement,
    again=yes_or_no,
)
def kill(stage: Stage, command: str, statement: int, again: bool) -> None:
    stage.interruptions.prepare(Interruption(command, statement, kills=True, delivered_again=again))


@step_kind(
    "before statement {statement} of the next {command}, another worker executes {other}",
    6,
    is_fault=True,
    command=a_command,
    statement=a_statement,
    other=one_of("the command that waits longest", "the command that waits longest", "the same command"),
)
def interleave(stage: Stage, command: str, statement: int, other: str) -> None:
    stage.interruptions.prepare(Interruption(command, statement, same=other == "the same command"))


RIVALS: dict[str, Callable[[Stage, int, int], None]] = {
    "the fleet accepts": lambda stage, request, fleet: people_steps.accept(
        stage, fleet, request, 1, all=False
    ),
    "the fleet holds a slot": lambda stage, request, fleet: people_steps.hold(stage, fleet, request, 1),
    "the fleet blocks a customer": lambda stage, _, fleet: operator_steps.relate(
        stage, "transporter", 0, fleet, "set"
    ),
    "the customer cancels": lambda stage, request, _: people_steps.cancel(stage, request),
    "the customer cancels a truck": lambda stage, request, _: people_steps.cancel_truck(stage, request, 0),
    "the driver accepts": lambda stage, request, _: driver_steps.driver_accepts(stage, request, 0),
    "a truck is given back": lambda stage, request, _: people_steps.give_back(
        stage, request, 0, "transporter"
    ),
    "an operator ends the search": lambda stage, request, _: operator_steps.operate(stage, request, "expire"),
}
"""What people may do at the moment at which a command is interrupted, by the words in a script."""


@step_kind(
    "before statement {statement} of the next {command}, another worker executes: {rival} (request {request}, fleet {fleet})",
    6,
    is_fault=True,
    command=a_command,
    statement=a_statement,
    rival=one_of(*RIVALS),
    request=values.newest,
    fleet=values.a_fleet,
)
def meanwhile(stage: Stage, command: str, statement: int, rival: str, request: int, fleet: int) -> None:
    def post() -> WakeUp | None:
        before = len(stage.posted)
        RIVALS[rival](stage, request, fleet)
        if len(stage.posted) == before:
            return None
        newest = stage.posted[-1]
        return WakeUp(newest.id, newest.command.name, newest.command.queue)

    stage.interruptions.prepare(Interruption(command, statement, post=post))


@step_kind("Redis loses everything", 2, is_fault=True)
def flush_redis(stage: Stage) -> None:
    stage.faults.happened += 1
    stage.lab.flush_redis()


@step_kind("beat does nothing for {seconds:g} s", 2, is_fault=True, seconds=one_of(5.0, 20.0, 60.0))
def stop_beat(stage: Stage, seconds: float) -> None:
    stage.faults.stop_sweeps(stage.lab.micros + round(seconds * SECOND))

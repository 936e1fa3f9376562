"""Runs all checks after a fault test. Each check returns a figure and the violations that it found."""

from __future__ import annotations

# Importing these modules registers their checks.
from tests.faults import leaks, promises, punctuality  # noqa: F401
from tests.faults.checks import CHECKS, CheckResult, Counting, Evidence, check, remaining_after
from tests.faults.fault_system import FaultSystem
from tests.faults.population import Population
from tests.support import deviations, message_checks
from tests.support.system import doctor
from weelo_lab.truths import TRUTHS, WHEN_AT_REST


def _truth(query: str) -> Counting:
    def counting(seen: Evidence) -> tuple[str, list[str]]:
        return "rows", [str(dict(row._mapping)) for row in seen.fault_system.rows(query)]

    return counting


CHECKS |= {sentence: _truth(query) for sentence, query in (TRUTHS | WHEN_AT_REST).items()}


@check("the doctor finds nothing")
def healthy(seen: Evidence) -> tuple[str, list[str]]:
    return "`weelo doctor`", remaining_after(lambda: doctor(seen.fault_system.system), within=30)


@check("the play itself went well")
def no_unexpected_errors(seen: Evidence) -> tuple[str, list[str]]:
    return f"{len(seen.ledger.entries)} commands", seen.ledger.spoiled


@check("every frame, op and push is as asyncapi.json describes it")
def as_documented(seen: Evidence) -> tuple[str, list[str]]:
    for lines in seen.logs.values():
        for line in lines:
            message_checks.check_frame(line)
    checked = message_checks.finish()
    return f"{checked} messages", deviations.take()


def verify(fault_system: FaultSystem, population: Population) -> list[CheckResult]:
    seen = Evidence(fault_system, population)
    return [_count(sentence, counting, seen) for sentence, counting in CHECKS.items()]


def _count(sentence: str, counting: Counting, seen: Evidence) -> CheckResult:
    try:
        return CheckResult(sentence, *counting(seen))
    except Exception as problem:  # recorded and not raised, so that the other checks run
        return CheckResult(sentence, "not checked", [repr(problem)])

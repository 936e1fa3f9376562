"""The reckoning: what must be true when all has come to rest. Each count has a figure, and names what is wrong."""

from __future__ import annotations

# They count as well: importing them says so.
from tests.faults import leftovers, promises, punctuality  # noqa: F401
from tests.faults.counting import COUNTS, Count, Counting, Seen, counts, left_after
from tests.faults.stage import Stage
from tests.faults.town import Town
from tests.model.truths import TRUTHS, WHEN_AT_REST
from tests.system import doctor


def _truth(query: str) -> Counting:
    def counting(seen: Seen) -> tuple[str, list[str]]:
        return "rows", [str(dict(row._mapping)) for row in seen.stage.rows(query)]

    return counting


COUNTS |= {sentence: _truth(query) for sentence, query in (TRUTHS | WHEN_AT_REST).items()}


@counts("the doctor finds nothing")
def healthy(seen: Seen) -> tuple[str, list[str]]:
    return "`weelo doctor`", left_after(lambda: doctor(seen.stage.system), within=30)


@counts("the play itself went well")
def nothing_spoiled(seen: Seen) -> tuple[str, list[str]]:
    return f"{len(seen.ledger.entries)} commands", seen.ledger.spoiled


def reckon(stage: Stage, town: Town) -> list[Count]:
    seen = Seen(stage, town)
    return [_count(sentence, counting, seen) for sentence, counting in COUNTS.items()]


def _count(sentence: str, counting: Counting, seen: Seen) -> Count:
    try:
        return Count(sentence, *counting(seen))
    except Exception as problem:  # the others are counted all the same
        return Count(sentence, "not counted", [repr(problem)])

"""Mutants: copies of the program in which one mechanism is disabled.

Two kinds of tests have to fail on each mutant: the fault suite (`make mutants`) and the search for faults (`weelo lab
mutants`). Otherwise their success would not prove that the mechanism works. A mutant is a small change to the source
text, so the code needs no switches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).parent.parent.parent

SWEEP = "weelo_workers/messaging/sweep.py"
UOW = "weelo_workers/messaging/unit_of_work.py"
CLAIM = "weelo_workers/messaging/claim.py"
CATALOG = "weelo_workers/notifications/catalog.py"
REOPENING = "weelo_workers/trips/reopening.py"

# The beginning of the statement in `UnitOfWork.settle`.
SETTLE = (
    '    """Store the outcome in the row of the command, together with everything else that is written."""\n'
    "        self._changes.update(MAILBOX, self.command_id, columns, "
)

FROM_REDIS = """
def _recipients(session: Session, event: OfBroadcastVersion) -> list[UUID]:
    from weelo_workers.redis_client import redis

    try:
        return [UUID(who) for who in redis().smembers(f"weelo:open:told:{event.broadcast_id}")]
    except Exception:
        return []
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    what: str
    changes: tuple[tuple[str, str, str], ...]
    """The changes, each as (file, original text, replacement)."""

    def apply(self, tree: Path) -> None:
        """Change the files below `tree`. Raises AssertionError unless each original text occurs exactly once."""
        for path, before, after in self.changes:
            text = (tree / path).read_text()
            assert text.count(before) == 1, f"{self.name}: {path} has {text.count(before)} × {before!r}"
            (tree / path).write_text(text.replace(before, after))


MUTANTS = (
    Mutant(
        "sweep",
        "the sweep is disabled",
        ((SWEEP, "    taken, cut_off = 0, False\n", "    return 0\n    taken, cut_off = 0, False\n"),),
    ),
    Mutant(
        "lock",
        "the broadcast's row is not locked",
        (
            (
                UOW,
                '    statement = select(aliased(model, _locked(model, "ids").cte("locked")), func.clock_timestamp())\n',
                (
                    "    if model is Broadcast:\n"
                    '        ids = bindparam("ids", type_=ARRAY(Uuid()))\n'
                    "        return select(model, func.clock_timestamp()).where(model.id == any_(ids))\n"
                    '    statement = select(aliased(model, _locked(model, "ids").cte("locked")), func.clock_timestamp())\n'
                ),
            ),
        ),
    ),
    Mutant(
        "claim",
        "a command's row is neither locked when it is claimed nor compared when it is settled",
        (
            (CLAIM, "        .with_for_update(of=MAILBOX)\n", ""),
            (UOW, f'{SETTLE}expected={{"settled_at": None}}', f"{SETTLE}expected={{}}"),
        ),
    ),
    Mutant(
        "reject",
        "reject_on_worker_lost is off",
        (("celeryconfig.py", "task_reject_on_worker_lost = True", "task_reject_on_worker_lost = False"),),
    ),
    Mutant(
        "recipients",
        "the recipients of a withdrawal are read from Redis",
        ((CATALOG, "\n\n# --- the catalog ---", f"\n{FROM_REDIS}\n\n# --- the catalog ---"),),
    ),
    Mutant(
        "round",
        "the timer of the deadline of a new round is not sent",
        (
            (
                REOPENING,
                "        uow.send(ExpireBroadcast(broadcast_id=broadcast.id), at=until)\n",
                "        pass\n",
            ),
        ),
    ),
)

"""`make mutants`: mutation tests of the fault suite.

In a copy of the tree one mechanism at a time is disabled, and the short form of the fault test must fail. A mutant is a
small change to the source text, so the code needs no switches.

`python -m tests.faults.mutants [NAME…]` tries only the named mutants.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".weelo", "soak", "*_cache", "__pycache__", "*.egg-info")
SUITE = ("tests/faults/test_ledger.py", "tests/faults/test_single_faults.py")
LONGEST_SECONDS = 900

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


def try_mutant(mutant: Mutant, say: Callable[[str], None]) -> tuple[str, list[str]]:
    """Run the suite on a mutated copy. Return how long it took and which tests failed."""
    with tempfile.TemporaryDirectory(prefix="weelo-mutant-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(TREE, tree, ignore=LEFT_OUT)
        Path(folder).chmod(0o755)
        mutant.apply(tree)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--long", "-n0", "-q", "--no-header", "--tb=line", *SUITE],
            cwd=tree,
            # The copy is first in the path, before the unchanged tree that is installed for development.
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )
        failed = re.findall(r"^(?:FAILED|ERROR) \S+?::(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
        if done.returncode not in (0, 1):
            say(done.stdout[-2000:] + done.stderr[-2000:])
        return f"{time.monotonic() - began:.0f} s", failed


def main() -> int:
    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201 (the results as a table)

    if unknown := set(sys.argv[1:]) - {mutant.name for mutant in MUTANTS}:
        raise SystemExit(f"no mutant {', '.join(unknown)}; there are {', '.join(m.name for m in MUTANTS)}")
    chosen = [mutant for mutant in MUTANTS if mutant.name in sys.argv[1:] or not sys.argv[1:]]
    say("| mutant | caught | by | in |\n| --- | --- | --- | --- |")
    escaped = 0
    for mutant in chosen:
        seconds, failed = try_mutant(mutant, say)
        escaped += not failed
        by = "; ".join(each.removeprefix("test_TIMR_02_whatever_breaks") for each in failed[:4])
        more = f" and {len(failed) - 4} more" if len(failed) > 4 else ""
        say(f"| {mutant.what} | {'yes' if failed else '**no**'} | {by}{more} | {seconds} |")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())

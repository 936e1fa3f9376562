"""`make mutants`: mutation tests of the fault suite.

In a copy of the tree one mechanism at a time is disabled (`weelo_lab/seeds/mutants.py`), and the short form of the fault
test must fail.

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
from pathlib import Path

from weelo_lab.seeds.mutants import MUTANTS, TREE, Mutant

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".weelo", "soak", "*_cache", "__pycache__", "*.egg-info")
SUITE = ("tests/faults/test_ledger.py", "tests/faults/test_single_faults.py")
LONGEST_SECONDS = 900


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

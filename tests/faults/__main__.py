"""`make soak MINUTES=30 SEED=7`: runs the fault test for this time and writes a report into a folder."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

LONGEST_MINUTES = 24 * 60


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    asked.add_argument(
        "--minutes", type=float, default=30.0, help=f"minutes of play, at most {LONGEST_MINUTES}"
    )
    asked.add_argument("--seed", type=int, default=None, help="seed of the plan; default: a random one")
    asked.add_argument("--into", type=Path, default=Path("soak"), help="the folder for the report")
    said = asked.parse_args()
    if not 0.5 <= said.minutes <= LONGEST_MINUTES:
        asked.error(f"--minutes: from 0.5 to {LONGEST_MINUTES}")
    seed = secrets.randbelow(1_000_000) if said.seed is None else said.seed

    from tests.support.tokens import SECRET

    os.environ["JWT_SECRET"] = SECRET

    from tests.faults.fault_system import FaultSystem
    from tests.faults.play import perform
    from tests.faults.report import write

    said.into.mkdir(parents=True, exist_ok=True)
    _say(f"SEED={seed} MINUTES={said.minutes:g}")
    with FaultSystem(said.into / "system.log") as fault_system:
        play = perform(fault_system, seed, said.minutes * 60, long=10.0, tell=_say)
    for count in play.counted:
        _say(f"{'NO ' if count.wrong else 'yes'}  {count.sentence} ({count.figure})")
        for wrong in count.wrong[:10]:
            _say(f"       {wrong}")
    _say(f"the report is {write(play, said.into)}")
    return 1 if any(count.wrong for count in play.counted) else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (progress on the terminal)


if __name__ == "__main__":
    sys.exit(main())

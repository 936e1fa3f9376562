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
    options = asked.parse_args()
    if not 0.5 <= options.minutes <= LONGEST_MINUTES:
        asked.error(f"--minutes: from 0.5 to {LONGEST_MINUTES}")
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed

    from tests.support.tokens import SECRET

    os.environ["JWT_SECRET"] = SECRET

    from tests.faults.fault_system import FaultSystem
    from tests.faults.play import perform
    from tests.faults.report import write
    from tests.support import answer_checks, deviations, message_checks

    message_checks.install()

    answer_checks.install()
    options.into.mkdir(parents=True, exist_ok=True)
    _print(f"SEED={seed} MINUTES={options.minutes:g}")
    with FaultSystem(options.into / "system.log") as fault_system:
        play = perform(fault_system, seed, options.minutes * 60, long=10.0, report=_print)
    for count in play.counted:
        _print(f"{'NO ' if count.wrong else 'yes'}  {count.sentence} ({count.figure})")
        for wrong in count.wrong[:10]:
            _print(f"       {wrong}")
    undocumented = deviations.take()
    for deviation in undocumented[:10]:
        _print(f"not as docs/openapi.json says: {deviation}")
    _print(f"the report is {write(play, options.into)}")
    return 1 if undocumented or any(count.wrong for count in play.counted) else 0


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (progress on the terminal)


if __name__ == "__main__":
    sys.exit(main())

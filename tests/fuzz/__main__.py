"""`make fuzz CASES=20000`: sends this many random requests to a running system, and prints what is not as documented."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    asked.add_argument("--cases", type=int, default=20_000, help="how many requests to send at least")
    asked.add_argument(
        "--seed", type=int, default=None, help="seed of the first round; default: a random one"
    )
    options = asked.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed

    from tests.support.tokens import SECRET

    os.environ["JWT_SECRET"] = SECRET

    from tests.fuzz.campaign import LIMITS, fuzz
    from tests.support import deviations
    from tests.support.system import System

    sent, failed = 0, False
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", Path(folder) / "system.log", **LIMITS)
        try:
            while sent < options.cases:
                done = fuzz(system, Path(folder), seed)
                sent, failed = sent + done.requests, failed or done.failed
                _print(f"SEED={seed}: {done.requests} requests, {sent} in all")
                if done.failed or not done.requests:
                    _print(done.report)
                    failed = True
                if not done.requests:
                    break
                seed += 1
        finally:
            system.stop()
    for deviation in deviations.take():
        _print(deviation)
        failed = True
    return int(failed)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (progress on the terminal)


if __name__ == "__main__":
    sys.exit(main())

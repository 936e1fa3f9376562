"""`make bench`: start the whole system, measure it as a client, and print a table with the machine's name.

`python -m bench race idle` measures only those.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.support.tokens import SECRET

os.environ["JWT_SECRET"] = SECRET

from bench import accepts, ceiling, history, overload, rings, sockets, surge, timers
from bench.figures import Figure
from tests.support.system import System

MEASURES = (
    accepts.idle,
    accepts.race,
    timers.thousand_pending,
    ceiling.transactions,
    rings.ring,
    rings.heartbeats,
    surge.surge,
    sockets.one_reader,
    sockets.a_thousand_readers,
    sockets.a_stalled_reader,
    sockets.idle_sockets,
    overload.overload,
)
# These measures take minutes and gigabytes, so they run only if they are named.
ON_DEMAND = (history.history,)


def main() -> None:
    console = Console()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="weelo-bench-") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        for first in (True, False):
            began = time.monotonic()
            system = System(
                data,
                DATABASE_URL="",
                REDIS_URL="",
                BROADCAST_TIMEOUT_SECONDS="45",
                RADIUS_STEP_SECONDS="3600",
            )
            name = "`weelo up` ready, first start" if first else "`weelo up` ready, same data again"
            figures.append(Figure(name, f"{time.monotonic() - began:.1f} s", "20 s"))
            if first:
                system.stop()
        try:
            named = [measure for measure in (*MEASURES, *ON_DEMAND) if measure.__name__ in sys.argv[1:]]
            chosen = named or MEASURES
            for measure in chosen:
                console.print(
                    f"measuring: {measure.__doc__.strip().splitlines()[0] if measure.__doc__ else measure}"
                )
                figures += measure(system, data)
        finally:
            system.stop()
            from weelo_workers.runtime.embedded import Postgres, Valkey

            Postgres(data).remove()
            Valkey(data).remove()
    table = Table(
        title=f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    for column in ("what", "measured", "goal"):
        table.add_column(column)
    for figure in figures:
        table.add_row(figure.what, figure.measured, figure.goal)
    console.print(table)


if __name__ == "__main__":
    main()

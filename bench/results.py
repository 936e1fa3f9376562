"""Keeps the figures of a run as JSON, and compares them with those of earlier runs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import Figure
from tests.support.sources import ROOT

FOLDER = ROOT / ".weelo-bench"


def machine() -> str:
    """Return the processor, its cores and Python's version. Two runs are comparable if these are the same."""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def keep(folder: Path, figures: Sequence[Figure], *, quick: bool) -> Path:
    """Write the figures to a new file and return its path."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y%m%dT%H%M%SZ}{'-quick' if quick else ''}.json"
    result = {
        "at": now.isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "quick": quick,
        "figures": [asdict(figure) for figure in figures],
    }
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return file


def ratios(folder: Path, figures: Sequence[Figure], *, quick: bool) -> dict[tuple[str, str], Figure]:
    """Return each figure divided by the newest kept figure of the same row on this machine, by table and row.

    Values whose earlier value is missing or 0 are left out. A quick run is compared with quick runs only.
    """
    compared: dict[tuple[str, str], Figure] = {}
    earlier = _newest_rows(folder, quick=quick)
    for figure in figures:
        before = earlier.get((figure.table, figure.what), {})
        values = {name: value / before[name] for name, value in figure.values.items() if before.get(name)}
        if values:
            compared[figure.table, figure.what] = replace(figure, values=values, unit="", goal="")
    return compared


def _newest_rows(folder: Path, *, quick: bool) -> dict[tuple[str, str], Mapping[str, float]]:
    newest: dict[tuple[str, str], Mapping[str, float]] = {}
    for file in sorted(folder.glob("*.json")):
        result: dict[str, Any] = json.loads(file.read_text())
        if result["machine"] == machine() and result["quick"] is quick:
            newest |= {(row["table"], row["what"]): row["values"] for row in result["figures"]}
    return newest


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit that is checked out, or "" outside a git repository."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()

"""Moves the clock of every process that has this folder on its path. Python imports this module at start.

The file `seconds` in this folder contains the seconds by which the clock is ahead. It is read twice a second.
"""

from __future__ import annotations

import time
from pathlib import Path

real, monotonic = time.time, time.monotonic
FILE = Path(__file__).with_name("seconds")
_seconds, _read_at = 0.0, float("-inf")


def skewed() -> float:
    global _seconds, _read_at  # noqa: PLW0603 (a clock is global)
    if monotonic() > _read_at + 0.5:
        _read_at = monotonic()
        try:
            _seconds = float(FILE.read_text())
        except (OSError, ValueError):
            _seconds = 0.0
    return real() + _seconds


time.time = skewed

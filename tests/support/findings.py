"""Runs checks of the doctor in this process."""

from __future__ import annotations

from weelo_workers.doctor.check import CHECKS
from weelo_workers.doctor.examine import examine


def findings(*names: str) -> list[str]:
    """Return the findings of these checks in the tests' database and Redis. If no names are given, all checks run."""
    checks = [CHECKS[name] for name in names] if names else CHECKS.values()
    return [line for result in examine(checks=checks) for line in result.findings]

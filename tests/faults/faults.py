"""All faults. Importing this makes them known."""

from __future__ import annotations

from tests.faults import messages, processes, servers  # noqa: F401
from tests.faults.registry import FAULTS

__all__ = ["FAULTS"]

"""All faults. Importing this module registers them."""

from __future__ import annotations

from tests.faults import messages, processes, servers  # noqa: F401
from tests.faults.registry import FAULTS

__all__ = ["FAULTS"]

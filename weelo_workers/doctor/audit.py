"""Records what an operator makes `weelo doctor --repair` do."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Sequence

log = logging.getLogger(__name__)


def record(action: str, targets: Sequence[str], reason: str) -> None:
    """Record a repair: what was done to which rows, by which account of this machine, and why.

    This is the only place that has to change when repairs are recorded in a table.
    """
    log.warning("audit: %s of %s by %s: %s", action, ", ".join(targets), _account(), reason)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return "an unnamed account"

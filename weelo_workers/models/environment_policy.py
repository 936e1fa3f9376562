"""The policy that this process's settings give: for new broadcasts, and for values that a stored policy lacks."""

from __future__ import annotations

from dataclasses import fields

from weelo_workers.lifecycles.policy import Policy
from weelo_workers.settings import settings


def environment_policy() -> Policy:
    """Return a policy whose values are the settings of the same names. REOFFER_SECONDS has a default of its own."""
    chosen = settings()
    values = {field.name: getattr(chosen, field.name) for field in fields(Policy)}
    return Policy(**values | {"reoffer_seconds": chosen.seconds_of_a_round})

"""The policy that the environment's settings give. It holds for what no stored policy says otherwise."""

from __future__ import annotations

from dataclasses import fields

from weelo_workers.lifecycles.policy import Policy
from weelo_workers.settings import settings


def environment_policy() -> Policy:
    """Return the values of the settings of the same names."""
    chosen = settings()
    values = {field.name: getattr(chosen, field.name) for field in fields(Policy)}
    return Policy(**values | {"reoffer_seconds": chosen.seconds_of_a_round})

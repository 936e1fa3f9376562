"""Builds policies from the settings of this process, which apply where a stored policy sets no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from weelo_workers.lifecycles.policy import Policy
from weelo_workers.settings import settings


def environment_policy() -> Policy:
    """Return a policy whose values are the settings of the same names.

    If REOFFER_SECONDS is not set, its value is that of BROADCAST_TIMEOUT_SECONDS.
    """
    chosen = settings()
    values = {field.name: getattr(chosen, field.name) for field in fields(Policy)}
    return Policy(**values | {"reoffer_seconds": chosen.seconds_of_a_round})


def resolved_policy(*stored: Mapping[str, Any]) -> Policy:
    """Return the policy that these stored values form. Each mapping contains values by their names in camel case.

    If several mappings contain a value, that of the earliest mapping is used. If none contains it, the environment's
    value is used. If neither a mapping nor the environment sets how long a new search lasts (`reofferSeconds`), it
    lasts as long as a first search (`broadcastTimeoutSeconds`).
    """
    values: dict[str, Any] = {}
    for each in reversed(stored):
        values |= each
    if "broadcastTimeoutSeconds" in values and settings().reoffer_seconds is None:
        values.setdefault("reofferSeconds", values["broadcastTimeoutSeconds"])
    return Policy.from_json(values, otherwise=environment_policy())

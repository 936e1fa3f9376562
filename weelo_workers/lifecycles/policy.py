"""The policy of a broadcast: how far, how fast and to how many transporters it is offered, and the time per answer.

A broadcast keeps the policy that it began with. Handlers read the policy from the broadcast and not from the settings
of their process, so processes with different settings decide the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from pydantic.alias_generators import to_camel

DEFAULT_SCOPE = "default"
"""The scope of everything for which no other scope is."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The values of a policy. `docs/configuration.md` explains each under the same name in capitals."""

    radius_steps_km: tuple[float, ...]
    radius_step_seconds: float
    last_step_max_km: float
    broadcast_timeout_seconds: float
    min_offers_per_step: int
    max_offers_per_step: int
    max_open_offers: int
    soft_open_offers: int
    contracted_first_seconds: float
    hold_seconds: float
    driver_accept_seconds: float
    reoffer_seconds: float
    reoffer_rounds: int
    start_reminder_seconds: float
    start_limit_seconds: float
    pickup_limit_seconds: float
    pickup_wait_seconds: float

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], otherwise: Self) -> Self:
        """Return the policy with these values, keyed in camel case. Missing ones are taken from `otherwise`.

        A process of a newer version may have stored values that this version does not know. They are ignored.
        """
        values = {
            name: stored[key] if key in stored else getattr(otherwise, name) for name, key in _KEYS.items()
        }
        return cls(**values | {"radius_steps_km": tuple(values["radius_steps_km"])})

    def to_json(self) -> dict[str, Any]:
        """Return the values, keyed in camel case."""
        return {_KEYS[name]: value for name, value in asdict(self).items()}


# A command reads its broadcast's policy several times, so the names in camel case are computed once.
_KEYS = {field.name: to_camel(field.name) for field in fields(Policy)}

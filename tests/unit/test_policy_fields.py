"""Every value of a policy can be set by operators and by the environment, and the Python client knows it."""

from __future__ import annotations

from dataclasses import fields

from pydantic.alias_generators import to_camel

from weelo_client import shapes
from weelo_workers.contracts.policies import PolicySettings
from weelo_workers.lifecycles.policy import Policy
from weelo_workers.settings import Settings

NAMES = {field.name for field in fields(Policy)}


def test_operators_can_set_every_value() -> None:
    assert set(PolicySettings.model_fields) == NAMES


def test_every_value_has_a_setting_of_the_same_name() -> None:
    assert set(Settings.model_fields) >= NAMES


def test_the_client_knows_every_value() -> None:
    assert set(shapes.PolicySettings.__annotations__) == {to_camel(name) for name in NAMES}

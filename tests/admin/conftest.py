"""An operator of the system in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.admin.operator import Operator
    from tests.support.world import World


@pytest.fixture
def operator(world: World) -> Operator:
    # This module is imported here, because it reads the settings, which `pytest_configure` sets.
    from tests.admin.operator import Operator

    return Operator(world)

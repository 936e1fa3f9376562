"""The fixture `operator`: an admin who uses the API of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.admin.operator import Operator
    from tests.support.world import World


@pytest.fixture
def operator(world: World) -> Operator:
    # The import is inside the function, because pytest may load this file before `pytest_configure` has set the variables
    # that the module reads.
    from tests.admin.operator import Operator

    return Operator(world)

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.webhook_receiver import WebhookReceiver

if TYPE_CHECKING:
    from tests.support.world import World
    from tests.webhooks.hooks import Hooks


@pytest.fixture
def hooks(world: World) -> Hooks:
    """Return a user of an empty database."""
    from tests.webhooks.hooks import Hooks  # reads the settings

    return Hooks(world)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    made = WebhookReceiver()
    yield made
    made.close()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.tls import Authority
from tests.support.webhook_receiver import WebhookReceiver

if TYPE_CHECKING:
    from tests.support.world import World
    from tests.webhooks.hooks import Hooks


@pytest.fixture
def hooks(world: World) -> Hooks:
    """Return a user in an empty database, for tests of webhooks."""
    # Not imported at the top: this module reads the settings, which are not set that early.
    from tests.webhooks.hooks import Hooks

    return Hooks(world)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    made = WebhookReceiver()
    yield made
    made.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """Yield an authority that this process trusts."""
    # Not imported at the top: this module reads the settings, which are not set that early.
    from weelo_workers.webhooks import posting

    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    posting.tls.cache_clear()
    yield made
    posting.tls.cache_clear()

"""One running system with its own servers and its own stand-ins for FCM and webhooks, watched by a real Prometheus."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.generate.pace import Pace
from tests.ops.watched import Watched
from tests.support.fcm_server import FcmServer
from tests.support.prometheus import watching
from tests.support.system import System
from tests.support.webhook_receiver import WebhookReceiver
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey

SKEWED = Path(__file__).parent / "skewed"

PACE = Pace(scale=1 / 60, floor=0.1, interval=1)
"""A minute of the rules takes a second."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    folder.chmod(0o755)  # PostgreSQL must enter the folder; it runs as another user if root runs the tests
    skewed = folder / "skewed"
    shutil.copytree(SKEWED, skewed)
    # These servers keep the durable settings (no `fsync=off`), because a check of the doctor reads them.
    postgres, valkey = Postgres(folder), Valkey(folder)
    fcm, receiver = FcmServer(), WebhookReceiver()
    try:
        url = postgres.start()
        system = System(
            folder / "data",
            folder / "log",
            DATABASE_URL=url,
            REDIS_URL=valkey.start(),
            FCM_ENDPOINT=fcm.url,
            PYTHONPATH=str(skewed),
            BROADCAST_TIMEOUT_SECONDS="5",
            RADIUS_STEP_SECONDS="1",
        )
        engine = connect(url)
        try:
            # An alert compares the present share of filled slots with that of earlier days. There it was 0.95.
            history = {'weelo:fill_ratio:1h{area="default"}': 0.95}
            target = {"weelo-api": system.url.removeprefix("http://")}
            (folder / "prometheus").mkdir()
            prometheus = watching(folder / "prometheus", PACE, target, history)
            yield Watched(system, prometheus, postgres, valkey, engine, fcm, receiver, skewed / "seconds")
            prometheus.stop()
        finally:
            engine.dispose()
            system.stop()
    finally:
        fcm.close()
        receiver.close()
        postgres.remove()
        valkey.remove()

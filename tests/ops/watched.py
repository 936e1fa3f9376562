"""A running system with its own servers and its own stand-ins for FCM and webhooks, and the Prometheus that watches it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tests.support.fcm_server import FcmServer
from tests.support.prometheus import Prometheus
from tests.support.system import System
from tests.support.webhook_receiver import WebhookReceiver
from weelo_workers.runtime.embedded import Postgres, Valkey


@dataclass(frozen=True)
class Watched:
    """The system, its servers, the stand-ins for FCM and for a webhook's endpoint, and the Prometheus that watches it."""

    system: System
    prometheus: Prometheus
    postgres: Postgres
    valkey: Valkey
    engine: Engine
    fcm: FcmServer
    receiver: WebhookReceiver
    clock: Path
    """The file with the seconds by which the clocks of all processes are ahead of PostgreSQL's."""

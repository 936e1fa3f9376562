"""The API's worker with short patience, so that the tests of it are short as well."""

from __future__ import annotations

from typing import Any

from gunicorn.util import load_class

from weelo_api import gunicorn
from weelo_api.doorkeeper import Doorkeeper

configured: Any = load_class(gunicorn.worker_class, default="sync", section="gunicorn.workers")
Keeper: Any = configured if issubclass(configured, Doorkeeper) else Doorkeeper


class Hasty(Keeper):  # type: ignore[misc]
    head_seconds = 2.0
    body_seconds = 4.0

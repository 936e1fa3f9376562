"""The API's worker class with short time limits, so that tests of these limits take little time."""

from __future__ import annotations

from weelo_api.server.worker import SlowClientSafeWorker


class ImpatientWorker(SlowClientSafeWorker):
    head_seconds = 3.0
    body_seconds = 4.0

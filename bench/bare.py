"""Two programs that `ceilings.py` measures: a Celery task that does nothing, and a Flask route that only enqueues it.

REDIS_URL names the broker. The other settings are those of celeryconfig.py that change what a task costs.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, request

celery = Celery("bare", broker=os.environ["REDIS_URL"], set_as_current=False)
celery.conf.update(
    task_default_queue="bare",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"priority_steps": [0]},
)

web = Flask(__name__)


@celery.task(name="bare.nothing")  # type: ignore[untyped-decorator]
def nothing(_command_id: str) -> None:
    """Do nothing."""


@web.post("/api/v1/bare")
def enqueue() -> tuple[dict[str, Any], int]:
    # No worker consumes this queue, so that only the API and the broker are measured.
    nothing.apply_async([request.get_json()["id"]], queue="enqueued", retry=False)
    return {"status": "pending"}, 202

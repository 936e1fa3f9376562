"""Routes for operators and probes: front page, liveness, readiness, metrics."""

from typing import Annotated, Literal

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError

from weelo_api.http.declared import sends
from weelo_api.metrics import exposition
from weelo_api.views import home
from weelo_workers.models.engine import autocommit_engine, why_unavailable
from weelo_workers.models.migrate import is_at_head
from weelo_workers.with_timeout import NoThread, WithTimeout

api = Blueprint("operating", __name__)


class Probe(BaseModel):
    """Base of the answers to probes."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Alive(Probe):
    """The process is alive."""

    status: Literal["ok"]
    """Always `ok`."""


class Ready(Probe):
    """The server can answer requests."""

    status: Literal["ready"]
    """Always `ready`."""


class Unavailable(Probe):
    """Why the server is not ready."""

    status: Literal["unavailable"]
    """Always `unavailable`."""
    reason: Annotated[str, Field(examples=["database: no answer within 2 s"])]
    """What is missing. It contains no names of hosts, roles or databases."""


@WithTimeout
def _is_migrated() -> bool:
    with autocommit_engine().connect() as connection:
        return is_at_head(connection)


@api.get("/")
@sends(200, content_type="text/html", description="The front page.")
def front_page() -> Response:
    """Return the front page."""
    return home.page()


@api.get("/healthz")
@sends(200, Alive, description="This process is alive.")
def alive() -> Response:
    """Return 200, which shows that this process is alive."""
    return jsonify(status="ok")


@api.get("/readyz")
@sends(200, Ready, description="The database answers, and its schema has the expected version.")
@sends(
    503, Unavailable, description="The server cannot answer requests at the moment; `reason` gives the cause."
)
def ready() -> tuple[Response, int]:
    """Return 200 if the database answers and its schema has the expected version, else 503.

    A 503 gives PostgreSQL's reason without names of hosts, roles and databases, because the route is open to every caller. Redis is
    not required, because commands are accepted without it.
    """
    try:
        migrated = _is_migrated()
    except TimeoutError:
        return jsonify(status="unavailable", reason="database: no answer within 2 s"), 503
    except NoThread as refusal:
        return jsonify(status="unavailable", reason=str(refusal)), 503
    except DBAPIError as error:
        return jsonify(status="unavailable", reason=f"database: {why_unavailable(error)}"), 503
    except Exception as error:
        return jsonify(status="unavailable", reason=f"database: {type(error).__name__}"), 503
    if not migrated:
        return jsonify(status="unavailable", reason="the schema is not at head: run `weelo migrate`"), 503
    return jsonify(status="ready"), 200


@api.get("/metrics")
@sends(200, content_type="text/plain", description="The metrics in the text format of Prometheus.")
def metrics() -> Response:
    """Return the metrics of all processes of this API."""
    return Response(exposition(), content_type=CONTENT_TYPE_LATEST)

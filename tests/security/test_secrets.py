"""Secrets appear in no log, error response, metric, API description or command line, and in nothing that Flower shows."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from celery import Celery
from flask import Flask
from redis import Redis
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError

from tests.security.scene import BOOKING, Scene
from tests.support.api_process import Api
from tests.support.programs import weelo_here
from tests.support.system import System
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import engine
from weelo_workers.runtime.embedded import Postgres, Valkey

PHONE, PERSON = "+91 98765 43210", "A person with a name"
PASSWORD = "a-password-nobody-may-see"


@pytest.fixture(scope="module")
def lived_in(embedded: System) -> System:
    """Return a system that has executed some requests and refused others."""
    Scene(embedded)
    with embedded.http(Role.TRANSPORTER, uuid4()) as fleet:
        fleet.put(f"/drivers/{uuid4()}", json={"name": PERSON, "phone": PHONE})
        fleet.post(f"/broadcasts/{uuid4()}/accept", content=b"{")
        fleet.get("/offers?cursor=%00")
    httpx.get(f"{embedded.url}/api/v1/events", headers={"Authorization": f"Bearer {bearer()}"})
    return embedded


def bearer() -> str:
    return token(
        Role.CUSTOMER, uuid4(), secret="another secret, long enough for HS256", name=PERSON, phone=PHONE
    )


def secrets(system: System) -> dict[str, str]:
    postgres = Postgres(system.folder)
    roles = {
        role: str(make_url(postgres.url(role=role)).password)
        for role in ("weelo", "weelo_api", "weelo_workers")
    }
    redis = str(make_url(Valkey(system.folder).url()).password)
    return {**roles, "redis": redis, "tokens": SECRET, "phone": PHONE, "person": PERSON}


def shown(system: System, where: str) -> list[str]:
    return [name for name, secret in secrets(system).items() if secret in where]


# --- a running system -----------------------------------------------------------------------------------

running = pytest.mark.xdist_group("embedded")


@running
def test_SECR_01_no_secret_in_what_is_printed_or_logged(lived_in: System) -> None:
    assert shown(lived_in, "".join(lived_in.printed)) == []
    for server in (Postgres(lived_in.folder), Valkey(lived_in.folder)):
        assert shown(lived_in, server.log.read_text()) == []
    assert "eyJ" not in "".join(lived_in.printed)  # every token begins with these letters


@running
@pytest.mark.parametrize(
    "path", ["/metrics", "/openapi.json", "/asyncapi.json", "/healthz", "/readyz", "/docs", "/docs/http"]
)
def test_no_secret_in_what_anybody_can_read(lived_in: System, path: str) -> None:
    answer = httpx.get(f"{lived_in.url}{path}", follow_redirects=True)
    assert answer.status_code == 200
    assert shown(lived_in, answer.text) == []


@running
def test_metrics_name_nobody(lived_in: System) -> None:
    """Labels of metrics contain no ids.

    Ids would reveal which users request trucks, and the number of series would grow without end.
    """
    import re

    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", httpx.get(f"{lived_in.url}/metrics").text)


@running
def test_no_secret_on_a_command_line(lived_in: System) -> None:
    """No secret is in an argument, because every user of the machine can read command lines."""
    supervisor = psutil.Process(lived_in.process.pid)
    servers = [Postgres(lived_in.folder).pid(), Valkey(lived_in.folder).pid()]
    processes = [
        supervisor,
        *supervisor.children(recursive=True),
        *(psutil.Process(pid) for pid in servers if pid),
    ]
    lines = [" ".join(process.cmdline()) for process in processes]
    assert len(lines) > len(QUEUES) + 4
    assert shown(lived_in, "\n".join(lines)) == []


@running
def test_no_secret_in_what_flower_asks_workers(lived_in: System) -> None:
    """Flower shows every visitor the workers' answers to Celery's inspect commands."""
    options = {"global_keyprefix": "weelo:celery:"}
    monitor = Celery(broker=Valkey(lived_in.folder).url(), broker_connection_retry_on_startup=True)
    monitor.conf.broker_transport_options = options
    workers = monitor.control.inspect(timeout=10, limit=len(QUEUES))
    for question in (workers.conf, workers.stats, workers.active, workers.scheduled, workers.registered):
        answers = question()
        assert answers and len(answers) == len(QUEUES), question.__name__
        assert shown(lived_in, json.dumps(answers, default=str)) == [], question.__name__
    monitor.close()


@running
def test_what_lies_in_redis_names_no_people(lived_in: System) -> None:
    """Wake-ups contain only the id of a command, not its payload."""
    redis = Redis.from_url(Valkey(lived_in.folder).url(), decode_responses=True)
    with lived_in.http(Role.TRANSPORTER, uuid4()) as fleet:
        fleet.put(f"/drivers/{uuid4()}", json={"name": PERSON, "phone": PHONE}, headers={"Prefer": ""})
    dumped = []
    for key in redis.scan_iter():
        kind = redis.type(key)
        if kind == "list":
            dumped += redis.lrange(key, 0, -1)
        elif kind == "hash":
            dumped.append(str(redis.hgetall(key)))
        elif kind == "string":
            dumped.append(str(redis.get(key)))
    assert [name for name in shown(lived_in, str(dumped)) if name != "person"] == []


@running
def test_what_is_written_down_is_for_its_owner_alone(lived_in: System) -> None:
    files = [each for each in lived_in.folder.rglob("*") if each.is_file() and "data" not in each.parts]
    revealing = [each for each in files if shown(lived_in, each.read_text(errors="replace"))]
    assert revealing
    assert {stat.S_IMODE(each.stat().st_mode) & 0o077 for each in revealing} == {0}


# --- when things go wrong -------------------------------------------------------------------------------


@pytest.fixture
def broken() -> Flask:
    """Return an API with routes that fail in different ways, each with a secret in its exception."""
    from weelo_api import create_app
    from weelo_api.http.access import anyone

    app = create_app()
    failures = {
        "exception": RuntimeError(PASSWORD),
        "database": ProgrammingError(f"SELECT '{PASSWORD}'", {"phone": PHONE}, Exception(PASSWORD)),
        "key": KeyError(PASSWORD),
        "deep": RecursionError(PASSWORD),
    }
    for name, failure in failures.items():

        def fail(failure: Exception = failure) -> str:
            raise failure

        app.add_url_rule(f"/api/v1/broken/{name}", name, anyone(fail))
    return app


@pytest.mark.parametrize("name", ["exception", "database", "key", "deep"])
def test_a_500_shows_nothing_of_the_inside(broken: Flask, name: str) -> None:
    good = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}
    answer = broken.test_client().get(f"/api/v1/broken/{name}", headers=good)
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert answer.get_json() == {
        "type": "/docs/codes#INTERNAL_ERROR",
        "title": "Something went wrong on our side",
        "status": 500,
        "detail": "It has been logged. Trying again is safe.",
        "code": "INTERNAL_ERROR",
        "retryable": True,
    }


def test_a_violated_constraint_tells_the_log_no_row(migrated: None) -> None:
    """PostgreSQL's error quotes the whole row. Only the part that names the constraint is logged."""
    insert = text("INSERT INTO users (id, role, name, phone) VALUES (:id, NULL, :name, :phone)")
    with pytest.raises(IntegrityError) as error, engine().begin() as connection:
        connection.execute(insert, {"id": uuid4(), "name": PERSON, "phone": PHONE})
    texts = f"{error.value} {error.value.orig} {error.value!r} {error.value.args}"
    assert "null value" in texts
    assert PERSON not in texts and PHONE not in texts


UNREACHABLE = {
    "DATABASE_URL": f"postgresql://weelo:{PASSWORD}@127.0.0.1:1/weelo",
    "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0",
    "JWT_SECRET": SECRET,
}
CELERY = ("weelo_workers", "--no-color")
PROGRAMS = {
    "worker": (*CELERY, "worker", "--queues=offers", "--pool=solo", "--loglevel=INFO", "--without-mingle"),
    "beat": (
        *CELERY,
        "beat",
        "--scheduler=weelo_workers.app:SweepingScheduler",
        "--pidfile=",
        "--loglevel=INFO",
    ),
    "doctor": ("weelo_workers.cli", "doctor"),
    "migrate": ("weelo_workers.cli", "migrate"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_cannot_connect_does_not_say_with_which_password(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", *PROGRAMS[name]],
            env={**os.environ, **UNREACHABLE, "WEELO_ENV": "production", "PYTHONUNBUFFERED": "1"},
            stdout=log_file,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: process.poll() is not None or "refused" in log.read_text(), within=30)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)  # the program may print further lines before it ends
    finally:
        process.kill()
        process.wait()
    output = log.read_text()
    assert "127.0.0.1" in output and "refused" in output, output
    assert PASSWORD not in output and SECRET not in output


@pytest.mark.long
def test_an_api_without_its_servers_says_so_without_the_passwords(tmp_path: Path) -> None:
    log = tmp_path / "log"
    api = Api(1, log=log, **UNREACHABLE)
    base = f"http://127.0.0.1:{api.port}"
    good = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}
    try:
        answers = [httpx.get(f"{base}{path}", headers=good, timeout=30) for path in ("/readyz", "/metrics")]
        answers.append(httpx.get(f"{base}/api/v1/broadcasts", headers=good, timeout=30))
        answers.append(httpx.post(f"{base}/api/v1/bookings", headers=good, json=BOOKING, timeout=30))
    finally:
        api.stop()
    assert [answer.status_code for answer in answers] == [503, 200, 503, 503]
    output = log.read_text()
    for reason in (
        "Redis (live stream) cannot be reached",
        "the metrics from the database cannot be read",
        "the database is not available",
    ):
        assert reason in output
    for where in (output, *(answer.text for answer in answers)):
        assert PASSWORD not in where and SECRET not in where


# --- production -----------------------------------------------------------------------------------------


@pytest.mark.long_except("api-short", "worker-short", "beat-short")
@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
@pytest.mark.parametrize("program", ["api", "worker", "beat"])
def test_SECR_01_nothing_starts_in_production_without_a_real_secret(program: str, secret: str) -> None:
    argv = ("gunicorn", "--config=python:weelo_api.server.gunicorn", "--bind=127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-m", *(argv if program == "api" else PROGRAMS[program])],
        env={**os.environ, "WEELO_ENV": "production", "JWT_SECRET": secret},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert (done.stderr + done.stdout).splitlines()[-1].startswith("weelo: JWT_SECRET: must ")


@pytest.mark.parametrize("secret", ["x" * 40, "ab" * 20, "change me change me change me change me"])
def test_SECR_01_a_secret_that_is_none_does_not_start_production(secret: str) -> None:
    done = weelo_here("migrate", WEELO_ENV="production", JWT_SECRET=secret)
    assert done.returncode == 2
    assert done.stderr.startswith("weelo: JWT_SECRET: ") and secret not in done.stderr

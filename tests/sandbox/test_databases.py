"""TRYI-01: a sandbox refuses the database and the Redis of another system, and other systems refuse those of a sandbox.

Other systems do not have the routes and the clock of a sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, event, text

from tests.support.changed_settings import with_settings
from tests.support.programs import weelo, weelo_here
from tests.support.servers import NO_SANDBOX, NO_SANDBOX_SHARED, own_database, own_redis, worker_number
from weelo_api import create_app
from weelo_workers import clock, redis_clock
from weelo_workers.models.engine import SESSION, connect
from weelo_workers.presence import scripts
from weelo_workers.redis_client import connect as connect_redis

SECRET = "0123456789abcdef" * 2
ENVIRONMENTS = {
    "development": {"WEELO_ENV": "development"},
    "production": {"WEELO_ENV": "production", "JWT_SECRET": SECRET},
}
SANDBOX = {"WEELO_ENV": "sandbox"}


@pytest.fixture
def database(worker_id: str) -> str:
    return own_database(NO_SANDBOX + worker_number(worker_id) % 4)


@pytest.mark.long_except("production")
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_database_of_a_sandbox_is_refused_elsewhere(environment: dict[str, str], database: str) -> None:
    for _ in range(2):
        assert weelo_here("migrate", DATABASE_URL=database, **SANDBOX).returncode == 0
    refused = weelo_here("migrate", DATABASE_URL=database, **environment)
    assert refused.returncode == 2
    assert refused.stderr.startswith("weelo: DATABASE_URL: this is the database of a sandbox")
    assert refused.stderr.count("\n") == 1
    assert (
        "this is the database of a sandbox"
        in weelo_here("doctor", DATABASE_URL=database, **environment).stdout
    )


@pytest.mark.long_except("production")
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_sandbox_refuses_every_other_database(environment: dict[str, str], database: str) -> None:
    assert weelo_here("migrate", DATABASE_URL=database, **environment).returncode == 0
    refused = weelo_here("migrate", DATABASE_URL=database, **SANDBOX)
    assert refused.returncode == 2
    assert refused.stderr.startswith("weelo: DATABASE_URL: this database was not made by a sandbox")
    assert refused.stderr.count("\n") == 1
    assert weelo_here("migrate", DATABASE_URL=database, **environment).returncode == 0


def test_a_search_path_that_hides_the_clock_is_refused(database: str) -> None:
    url = f"{database}?options=-csearch_path%3Dpublic"
    refused = weelo_here("migrate", DATABASE_URL=url, **SANDBOX)
    assert refused.returncode == 2
    assert refused.stderr.startswith("weelo: DATABASE_URL: its search_path hides the clock")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_up_refuses_to_make_a_sandbox_of_another_environment(environment: str, tmp_path: Path) -> None:
    chosen = ENVIRONMENTS[environment]
    refused = weelo("up", "--sandbox", "--data-dir", str(tmp_path / "data"), **chosen)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"weelo: WEELO_ENV: is {environment}; a sandbox is an environment of its own"
    )
    assert not (tmp_path / "data").exists()


@pytest.fixture
def redis_url(worker_id: str) -> Iterator[str]:
    url = own_redis(NO_SANDBOX + worker_number(worker_id) % 4)
    connect_redis(url).flushdb()
    yield url
    connect_redis(url).flushdb()


def test_up_refuses_the_redis_of_another_system(redis_url: str, database: str, tmp_path: Path) -> None:
    arguments = ("up", "--no-flower", "--port", "18999", "--data-dir", str(tmp_path / "data"))
    servers = {"DATABASE_URL": database, "REDIS_URL": redis_url}
    connect_redis(redis_url).set("weelo:presence:since", "1")
    refused = weelo(*arguments, "--sandbox", **servers)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("weelo: REDIS_URL: this Redis was not made by a sandbox")

    connect_redis(redis_url).flushdb()
    connect_redis(redis_url).set(redis_clock.OFFSET_KEY, "0")
    plain = own_database(NO_SANDBOX_SHARED)
    refused = weelo(*arguments, **{**servers, "DATABASE_URL": plain})
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("weelo: REDIS_URL: this is the Redis of a sandbox")


# --- elsewhere ------------------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/clock"),
    ("POST", "/clock/advance"),
    ("POST", "/fleets"),
    ("DELETE", "/fleets/0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d01"),
    ("POST", "/reset"),
    ("POST", "/tokens"),
]


@pytest.fixture(params=["development", "production"])
def app(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Flask:
    with_settings(monkeypatch, weelo_env=request.param, jwt_secret=SECRET)
    return create_app()


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method}{path[:14]}" for method, path in ROUTES])
def test_the_routes_do_not_exist_elsewhere(app: Flask, method: str, path: str) -> None:
    answer = app.test_client().open(f"/api/v1/sandbox{path}", method=method, json={})
    assert (answer.status_code, answer.get_json()["code"]) == (404, "NOT_FOUND")


def test_the_routes_are_described_in_a_sandbox_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def described() -> set[str]:
        paths = create_app().test_client().get("/openapi.json").get_json()["paths"]
        return {path for path in paths if "/sandbox/" in path}

    assert described() == set()
    with_settings(monkeypatch, weelo_env="sandbox")
    prefix = "/api/v1/sandbox"
    assert described() == {
        f"{prefix}{path}"
        for path in ("/clock", "/clock/advance", "/fleets", "/fleets/{id}", "/reset", "/tokens")
    }


def test_elsewhere_a_connection_has_the_settings_that_it_always_had(database: str) -> None:
    engine = connect(database)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW search_path")).scalar_one() == '"$user", public'
        changed = "SELECT name, setting FROM pg_settings WHERE source = 'client'"
        chosen = {row.name: row.setting for row in connection.execute(text(changed))}
        assert set(SESSION) | {"statement_timeout", "lock_timeout"} <= {name.lower() for name in chosen}
        assert "search_path" not in chosen
    engine.dispose()


def test_elsewhere_the_clock_costs_no_statement_and_no_command_of_redis() -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=1)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert statements == []
    assert redis_clock.lua(scripts.HEARTBEAT) is scripts.HEARTBEAT
    assert redis_clock.OFFSET_KEY not in redis_clock.lua(scripts.SEARCH)


def test_in_a_sandbox_each_script_reads_the_moved_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, weelo_env="sandbox")
    named = {
        name: value for name, value in vars(scripts).items() if name.isupper() and not name.startswith("_")
    }
    asking = {name for name, script in named.items() if isinstance(script, str) and "now()" in script}
    assert len(asking) > 5
    for name in asking - {"LUA_NOW"}:
        assert redis_clock.OFFSET_KEY in redis_clock.lua(named[name]), name

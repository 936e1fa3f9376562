"""docker-compose.yml runs the programs of `weelo up`, sets only variables of Settings, and contains no secret."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.architecture import compose
from tests.support.sources import ROOT
from weelo_workers.contracts.queues import NOTIFICATIONS, QUEUES, WEBHOOKS
from weelo_workers.runtime.programs import Options, migration, programs
from weelo_workers.runtime.supervisor import Program
from weelo_workers.settings import Settings

SERVERS = {"postgres", "redis"}
MONITORING = {"prometheus", "grafana"}
INFRASTRUCTURE = SERVERS | MONITORING
SETTINGS = {name.upper() for name in Settings.model_fields}
OF_LIBRARIES = {"GOOGLE_CLOUD_PROJECT"}
PROGRAMS = {
    program.name: program for program in programs(Options(data_dir=Path("unused"), worker_per_queue=True))
}

# Options in which a container may differ from `weelo up`: listening addresses and numbers of processes.
MAY_DIFFER: dict[str, set[str]] = {
    "api": {"--bind"},
    "flower": {"--address", "--port"},
    **{queue: {"--concurrency"} for queue in QUEUES if queue not in (NOTIFICATIONS, WEBHOOKS)},
}
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|CREDENTIAL|PRIVATE")


# --- which services -------------------------------------------------------------------------------------


def test_every_queue_is_a_compose_service() -> None:
    assert set(compose.services()) == {*QUEUES, *INFRASTRUCTURE, "migrate", "api", "beat", "flower"}


@pytest.mark.parametrize("queue", QUEUES)
def test_each_worker_consumes_its_own_queue_and_no_other(queue: str) -> None:
    assert compose.option(compose.command(queue), "queues") == queue


def test_everything_of_ours_runs_the_same_image_built_here() -> None:
    assert set(compose.own_services()) == set(compose.services()) - INFRASTRUCTURE
    assert {str(service["build"]) for service in compose.own_services().values()} == {"."}


# --- command lines --------------------------------------------------------------------------------------


def test_compose_runs_the_programs_of_weelo_up() -> None:
    assert set(PROGRAMS) == set(compose.own_services()) - {"migrate"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_line_is_the_one_of_weelo_up(name: str) -> None:
    free = MAY_DIFFER.get(name, set())
    assert _fixed(compose.program(name), free) == _fixed(_words(PROGRAMS[name]), free)
    for argument in free:
        assert compose.option(compose.command(name), argument.removeprefix("--"))


def test_the_migration_is_the_one_of_weelo_up() -> None:
    assert compose.command("migrate") == ["weelo", *migration()[4:]]


def test_every_program_is_installed_with_the_project() -> None:
    installed = {script.name for script in entry_points(group="console_scripts")}
    assert {compose.command(name)[0] for name in compose.own_services()} <= installed | {"python"}


def test_what_the_command_lines_name_exists() -> None:
    assert find_spec(compose.option(compose.command("api"), "config").removeprefix("python:")) is not None
    module, _, scheduler = compose.option(compose.command("beat"), "scheduler").partition(":")
    assert hasattr(import_module(module), scheduler)


@pytest.mark.parametrize(
    "name", [name for name, service in compose.services().items() if "command" in service]
)
def test_no_command_line_needs_a_shell(name: str) -> None:
    """Compose splits a command line itself, and refuses unquoted parentheses and similar characters."""
    line = compose.filled_in(compose.services()[name]["command"])
    words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    assert not [word for word in words if word and set(word) <= set("();<>|&")]


# --- environment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", compose.own_services())
def test_every_variable_is_a_setting(name: str) -> None:
    assert set(compose.services()[name]["environment"]) <= SETTINGS | OF_LIBRARIES


def test_every_setting_can_be_set() -> None:
    given = {variable for service in compose.own_services().values() for variable in service["environment"]}
    assert given == SETTINGS | OF_LIBRARIES


@pytest.mark.parametrize("name", compose.own_services())
def test_every_process_has_the_same_settings(name: str) -> None:
    """Processes with different settings would disagree, for example on the deadline that one writes and another reads."""
    shared = dict(compose.document()["x-weelo"]["environment"])
    shared.pop("DATABASE_URL")  # each kind of process has its own database role, and so its own URL
    assert compose.services()[name]["environment"].items() >= shared.items()
    assert shared["WEELO_ENV"] == "production"


def test_each_process_knows_the_password_of_its_own_database_role_alone() -> None:
    known = {
        name: set(re.findall(r"POSTGRES_\w*PASSWORD", str(service["environment"])))
        for name, service in compose.services().items()
        if "environment" in service
    }
    workers = {name: {"POSTGRES_WORKERS_PASSWORD"} for name in (*QUEUES, "beat")}
    passwords = {"POSTGRES_PASSWORD", "POSTGRES_API_PASSWORD", "POSTGRES_WORKERS_PASSWORD"}
    owner, api = {"POSTGRES_PASSWORD"}, {"POSTGRES_API_PASSWORD"}
    without: dict[str, set[str]] = {"flower": set(), "grafana": set()}
    assert known == {**workers, **without, "api": api, "migrate": passwords, "postgres": owner}


def test_no_secret_has_a_default() -> None:
    asked = {found["name"]: found["operator"] for found in compose.VARIABLE.finditer(compose.text())}
    assert {asked[name] for name in asked if name.endswith("PASSWORD") or name == "JWT_SECRET"} == {":?"}
    for found in compose.VARIABLE.finditer(compose.text()):
        if SECRET.search(found["name"]) and not found["name"].endswith("_FILE"):
            assert found["operator"] == ":?", f"{found[0]}: its absence must stop the start"
    for name, service in compose.services().items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                assert str(value).startswith("${"), f"{name}: {variable} has a literal value"


def test_no_url_carries_a_password_that_is_written_down() -> None:
    for password in re.findall(r"://[^\s:/@]*:([^@\s]+)@", compose.text()):
        assert password.startswith("${"), "a URL with a literal password"


def test_the_example_names_every_variable_and_fills_in_no_secret() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", "\n".join(lines), re.MULTILINE))
    asked = {found["name"] for found in compose.VARIABLE.finditer(compose.text())}
    passed_on = {
        variable
        for service in compose.own_services().values()
        for variable, value in service["environment"].items()
        if value is None
    }
    assert set(example) == asked | passed_on
    required = {line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)}
    assert required == {
        found["name"] for found in compose.VARIABLE.finditer(compose.text()) if found["operator"] == ":?"
    }
    assert not any(example[name] for name in required)


def test_the_example_shows_the_real_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.findall(r"^#([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    settings = {name: value for name, value in shown if name in SETTINGS}
    for name in settings:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    other = {name for name, value in Settings() if value != getattr(defaults, name)}
    assert other == set(), ".env.example shows another value than the default"


# --- starting, stopping, reaching -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(compose.own_services().keys() - {"migrate"}))
def test_nobody_starts_before_the_schema_is_there(name: str) -> None:
    waits = compose.services()[name]["depends_on"]
    assert waits["migrate"]["condition"] == "service_completed_successfully"


def test_the_migration_waits_for_the_database_and_runs_once() -> None:
    migrate = compose.services()["migrate"]
    assert migrate["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert migrate["restart"] == "no"


def test_whatever_dies_is_restarted() -> None:
    restarts = {name: service["restart"] for name, service in compose.services().items() if name != "migrate"}
    assert set(restarts.values()) == {"unless-stopped"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_container_has_at_least_as_long_to_stop_as_under_weelo_up(name: str) -> None:
    assert compose.seconds(compose.services()[name]["stop_grace_period"]) >= PROGRAMS[name].grace


def test_what_others_wait_for_or_reach_has_a_health_check() -> None:
    assert {name for name, service in compose.services().items() if "healthcheck" in service} == {
        *INFRASTRUCTURE,
        "api",
        "flower",
    }


def test_only_api_and_monitoring_listen_and_only_on_the_loopback_unless_told_otherwise() -> None:
    listening = {name: service["ports"] for name, service in compose.services().items() if "ports" in service}
    assert set(listening) == {"api", "flower", *MONITORING}
    assert all(
        compose.filled_in(port).startswith("127.0.0.1:") for ports in listening.values() for port in ports
    )
    # These addresses are fixed, not read from .env. Only this machine may reach Flower, which can stop workers, and
    # Prometheus and Grafana, which ask for no password.
    assert all(listening[name][0].startswith("127.0.0.1:") for name in ("flower", *MONITORING))


def test_redis_keeps_what_it_is_given_and_refuses_rather_than_evicts() -> None:
    words = " ".join(compose.command("redis"))
    assert "--appendonly yes" in words
    assert "--maxmemory-policy noeviction" in words
    assert any(volume.endswith(":/data") for volume in compose.services()["redis"]["volumes"])


def _words(program: Program) -> list[str]:
    """Return the program's command line without `python -P -m`, because the image calls programs by their names."""
    _python, safe_path, dash_m, module, *arguments = program.argv
    assert (safe_path, dash_m) == ("-P", "-m")
    return [module, *arguments]


def _fixed(words: list[str], free: set[str]) -> list[str]:
    return [word for word in words if word.partition("=")[0] not in free]

"""Variables and files meant for other programs do not affect the system."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.programs import without_weelo
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually
from weelo_client import WeeloClient
from weelo_client.shapes import Place
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.celery_settings import PATH, celery_settings
from weelo_workers.runtime.environment import composed, for_server
from weelo_workers.runtime.ports import free_port

WEELO = Path(sys.executable).with_name("weelo")

FOREIGN = {
    "BROKER_URL": "redis://127.0.0.1:1/0",
    "LOADER": "webpack",
    "CONFIG_MODULE": "theirs",
    "RESULT_BACKEND": "redis://127.0.0.1:1/0",
    "APP": "theirs",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:1/0",
    "CELERY_LOADER": "theirs",
    "C_FORCE_ROOT": "1",
    "DJANGO_SETTINGS_MODULE": "theirs.settings",
    "FLASK_APP": "theirs",
    "FLASK_DEBUG": "1",
    "FLOWER_PORT": "tcp://10.0.0.1:5555",
    "FLOWER_ADDRESS": "10.0.0.1",
    "GUNICORN_CMD_ARGS": "--bind=0.0.0.0:1 --workers=9",
    "WEB_CONCURRENCY": "many",
    "PORT": "1",
    "HOST": "10.0.0.1",
    "PGHOSTADDR": "10.0.0.1",
    "PGSERVICE": "theirs",
    "PGSSLMODE": "require",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c search_path=theirs",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONINSPECT": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/no/such/place",
    "SENTRY_DSN": "http://theirs@127.0.0.1:1/1",
    "OTEL_SDK_DISABLED": "false",
    "LISTEN_FDS": "3",
}
PROXIES = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")

FILES_OF_ANOTHER_PROJECT = (
    "celeryconfig",
    "redis",
    "queue",
    "flask",
    "types",
    "click",
    "pydantic",
    "sqlalchemy",
    "flowerconfig",
    "gunicorn.conf",
    "weelo_workers",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of another project. A process that imports a file from it ends."""
    folder = tmp_path / "their project"
    folder.mkdir()
    for name in FILES_OF_ANOTHER_PROJECT:
        (folder / f"{name}.py").write_text(
            f"raise SystemExit('the {name} of another project was imported')\n"
        )
    return folder


def test_variables_of_other_programs_are_left_out() -> None:
    composed_environment = composed({**FOREIGN, "PATH": "/bin", "HOLD_SECONDS": "7", "LC_ALL": "C"})
    assert {name: composed_environment[name] for name in ("PATH", "HOLD_SECONDS", "LC_ALL")} == {
        "PATH": "/bin",
        "HOLD_SECONDS": "7",
        "LC_ALL": "C",
    }
    assert not composed_environment.keys() & FOREIGN.keys()


def test_with_a_database_url_libpq_variables_are_kept_unless_they_overrule_the_url() -> None:
    libpq = {"PGSSLMODE": "verify-full", "PGPASSWORD": "x", "PGHOSTADDR": "10.0.0.1", "PGOPTIONS": "-c a=b"}
    assert not composed(libpq).keys() & libpq.keys()
    composed_environment = composed({**libpq, "DATABASE_URL": "postgresql://db.example/weelo"})
    assert composed_environment.keys() & libpq.keys() == {"PGSSLMODE", "PGPASSWORD"}


def test_relative_paths_are_made_absolute() -> None:
    account = {"GOOGLE_APPLICATION_CREDENTIALS": "firebase.json", "GOOGLE_CLOUD_PROJECT": "weelo"}
    composed_environment = composed({**account, "SSL_CERT_FILE": "/etc/ca.pem"})
    assert composed_environment["GOOGLE_CLOUD_PROJECT"] == "weelo"
    assert composed_environment["GOOGLE_APPLICATION_CREDENTIALS"] == str(Path.cwd() / "firebase.json")
    assert composed_environment["SSL_CERT_FILE"] == "/etc/ca.pem"


def test_a_proxy_is_kept_but_not_for_this_machine() -> None:
    composed_environment = composed(
        {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "db.example, localhost"}
    )
    assert composed_environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert composed_environment["NO_PROXY"] == "db.example,localhost,127.0.0.1,::1"


def test_of_pythonpath_only_the_directory_of_this_package_is_kept(tmp_path: Path) -> None:
    here = str(PATH.parent)
    assert composed({"PYTHONPATH": f"{tmp_path}:{here}"})["PYTHONPATH"] == here
    assert "PYTHONPATH" not in composed({"PYTHONPATH": str(tmp_path)})


def test_servers_print_utf_8_whatever_the_locale() -> None:
    environment = for_server({"LC_ALL": "en_US.ISO-8859-1", "PYTHONIOENCODING": "ascii"})
    assert (environment["PYTHONUTF8"], environment["PYTHONIOENCODING"]) == ("1", "utf-8:backslashreplace")


def test_the_celery_settings_are_those_beside_the_package() -> None:
    assert celery_settings().__file__ == str(PATH)
    assert celery_settings().task_acks_late is True


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("token", "--role", "customer", "--sub", str(uuid4())), 0),
        (("demo", "--url", "http://127.0.0.1:1"), 2),
        (("doctor",), 2),
        (("migrate",), 2),
    ],
)
def test_commands_import_nothing_from_the_current_directory(
    arguments: tuple[str, ...], code: int, project: Path
) -> None:
    ran = subprocess.run(
        [str(WEELO), *arguments],
        cwd=project,
        env={
            **without_weelo(),
            **FOREIGN,
            **PROXIES,
            "PYTHONPATH": str(project.parent),
            "JWT_SECRET": SECRET,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "another project" not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.returncode == code, ran.stderr


def test_a_removed_current_directory_is_reported_in_one_line(tmp_path: Path) -> None:
    removed = tmp_path / "gone"
    removed.mkdir()
    script = f'cd "{removed}" && rmdir "{removed}" && exec "{WEELO}" up --no-flower'
    ran = subprocess.run(
        ["/bin/sh", "-c", script],
        env=without_weelo(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("weelo: .weelo cannot be found from here")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_hostile_environment_in_a_folder_of_another_project_changes_nothing(
    project: Path, data_dir: Path
) -> None:
    """With all hostile variables and files at once, the system becomes ready, with Flower, and settles a booking."""
    port, flower = free_port(), free_port()
    (project.parent / "path").mkdir()
    (project.parent / "path" / "click.py").write_text("raise SystemExit('another project')")
    log = project.parent / "log"
    log_file = log.open("w")
    process = subprocess.Popen(
        [str(WEELO), "up", "--port", str(port), "--flower-port", str(flower), "--data-dir", str(data_dir)],
        cwd=project,
        env={
            **without_weelo(),
            **FOREIGN,
            **PROXIES,
            "PYTHONPATH": str(project.parent / "path"),
            "JWT_SECRET": SECRET,
            "TMPDIR": "/no/such/place",
            "LC_ALL": "C",
            "TZ": "Asia/Kolkata",
        },
        stdin=subprocess.DEVNULL,
        stdout=log_file,
        stderr=subprocess.STDOUT,
        umask=0o077,
    )
    try:
        eventually(_ready(process, log), within=180)
        customer = WeeloClient(f"http://127.0.0.1:{port}", token(Role.CUSTOMER, uuid4()), wait=20)
        place: Place = {"latitude": 28.61, "longitude": 77.21, "address": "नई दिल्ली"}
        booking = customer.create_booking(
            pickup=place,
            drop={"latitude": 26.91, "longitude": 75.79, "address": "Jaipur"},
            vehicle_type="Open",
            vehicle_subtype="17 ft",
            trucks_needed=1,
        )
        assert booking["pickup"]["address"] == "नई दिल्ली"
        assert "another project" not in log.read_text()
        assert "starting it again" not in log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            log_file.close()


def _ready(process: subprocess.Popen[bytes], log: Path) -> Callable[[], bool]:
    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return "weelo ready on" in log.read_text()

    return ready

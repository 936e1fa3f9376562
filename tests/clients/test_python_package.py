"""`pip install weelo` installs the client alone, and the journey in its README works from there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.clients.users import environment_of_new_users
from tests.support.programs import without_weelo
from tests.support.sources import ROOT
from tests.support.system import System

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("system"), pytest.mark.timeout(600)]

SERVER_PACKAGES = {
    "flask",
    "celery",
    "redis",
    "sqlalchemy",
    "psycopg2-binary",
    "pydantic",
    "gunicorn",
    "click",
}
BUILD_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "celeryconfig.py")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in without_weelo().items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source archive and the wheel. They are built from a copy of the sources.

    A build from the repository itself would leave files there.
    """
    folder = tmp_path_factory.mktemp("archives")
    probe = run(
        sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder / "probe", "h11", cwd=folder
    )
    if probe.returncode:
        pytest.skip(f"the package index cannot be reached: {probe.stderr.strip().splitlines()[-1]}")
    source = folder / "source"
    for package in ROOT.glob("weelo_*/"):
        shutil.copytree(package, source / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, source)
    built = run(sys.executable, "-m", "build", "--outdir", folder, source, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def installed(archives: Path) -> Path:
    """Return the folder `bin` of a new environment in which only the wheel was installed, without extras."""
    folder = archives / "environment"
    venv.create(folder, with_pip=True)
    (wheel,) = archives.glob("*.whl")
    done = run(folder / "bin" / "python", "-m", "pip", "install", wheel, cwd=archives)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_archives_contain_the_readme_of_the_client(archives: Path, tmp_path: Path) -> None:
    (wheel,), (source,) = archives.glob("*.whl"), archives.glob("*.tar.gz")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    shutil.unpack_archive(source, tmp_path / "source", "gztar")
    text = (ROOT / "weelo_client" / "README.md").read_text()
    for folder in (tmp_path / "wheel", *(tmp_path / "source").iterdir()):
        assert (folder / "weelo_client" / "README.md").read_text() == text
    (metadata,) = (tmp_path / "wheel").glob("*.dist-info/METADATA")
    assert text in metadata.read_text(), "it is the page of the package, too"


def test_only_the_client_is_installed(installed: Path, tmp_path: Path) -> None:
    listed = run(installed / "python", "-m", "pip", "list", "--format", "json", cwd=tmp_path)
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert {"weelo", "httpx", "websocket-client"} <= names
    assert names & SERVER_PACKAGES == set()
    assert len(names) < 15, names


def test_every_module_of_the_client_can_be_imported(installed: Path, tmp_path: Path) -> None:
    modules = [f"weelo_client.{path.stem}" for path in (ROOT / "weelo_client").glob("*.py")]
    imports = "\n".join(f"import {module.removesuffix('.__init__')}" for module in modules)
    done = run(installed / "python", "-c", imports, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_command_says_in_one_line_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "weelo", "up", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"weelo: the package \w+ is missing; run: pip install 'weelo\[server\]'\n", done.stderr
    )


def test_the_journey_of_the_readme_works(installed: Path, tmp_path: Path, system: System) -> None:
    code = (ROOT / "weelo_client" / "README.md").read_text().split("```python\n")[1].split("```", 1)[0]
    done = run(installed / "python", "-c", code, cwd=tmp_path, **environment_of_new_users(system))
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["completed"]), done.stderr

"""`make install` rebuilds an environment that cannot work, and never marks an incomplete environment as installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.programs import without_weelo
from tests.support.sources import ROOT

# A minimal project with the real Makefile and its own build backend, so that pip needs no network.
BACKEND = """
import pathlib, zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "weelo-0.1-py3-none-any.whl"
    info = "weelo-0.1.dist-info"
    files = {
        "weelo.pth": str(pathlib.Path.cwd()),
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: weelo\\nVersion: 0.1\\nProvides-Extra: dev\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\nweelo = small:main\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "setup.cfg").write_text("[metadata]\nname = weelo\n")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(textwrap.dedent(BACKEND))
    (folder / "small.py").write_text("def main():\n    print(__file__)\n")
    return folder


def make(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    python = str(Path(sys.base_prefix, "bin", "python3"))
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", "install"],
        cwd=folder,
        env={**without_weelo(), "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def runs(folder: Path) -> str:
    """Return the file that the installed command was imported from."""
    ran = subprocess.run(
        [str(folder / ".venv/bin/weelo")], capture_output=True, text=True, check=True, timeout=30
    )
    return ran.stdout.strip()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_environment_is_rebuilt_exactly_when_it_cannot_work(checkout: Path, tmp_path: Path) -> None:
    foreign = {
        "PIP_PREFIX": str(tmp_path / "prefix"),
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_USER": "1",
        "PIP_DRY_RUN": "1",
        "PYTHONHOME": "/no/such/place",
        "PYTHONPATH": str(tmp_path),
    }
    made = make(checkout, **foreign)
    assert made.returncode == 0, made.stderr
    assert runs(checkout) == str(checkout / "small.py")
    assert not (tmp_path / "prefix").exists()

    again = make(checkout)
    assert (again.returncode, again.stdout) == (0, "")

    (checkout / "setup.cfg").write_text("[metadata]\nname = weelo\n# changed\n")
    brought_up_to_date = make(checkout)
    assert "installing" in brought_up_to_date.stdout
    assert "making" not in brought_up_to_date.stdout

    copied = tmp_path / "copied"
    shutil.copytree(checkout, copied, symlinks=True)
    assert f"making {copied}" in make(copied).stdout
    assert runs(copied) == str(copied / "small.py")
    assert runs(checkout) == str(checkout / "small.py")

    # The files in the environment's `bin` are removed and its Python links to nothing, as after an upgrade of the
    # system.
    for link in (copied / ".venv/bin").glob("*"):
        link.unlink()
    (copied / ".venv/bin/python").symlink_to("/no/such/python")
    assert "making" in make(copied).stdout
    assert runs(copied) == str(copied / "small.py")


@pytest.mark.long
@pytest.mark.timeout(500)
def test_packages_that_a_pip_conf_installs_elsewhere_do_not_count_as_installed(
    checkout: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(f"[install]\ntarget = {tmp_path / 'elsewhere'}\n")
    refused = make(checkout, PIP_CONFIG_FILE=str(conf))
    assert refused.returncode != 0
    assert "is not complete" in refused.stdout
    assert not (checkout / ".venv/.installed").exists()

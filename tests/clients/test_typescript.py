"""The TypeScript client: its types match the code, it compiles, and its package plays a journey on a running system."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from clients import documents
from tests.clients import browser
from tests.clients.users import environment_of_new_users
from tests.support.programs import without_weelo
from tests.support.sources import ROOT
from tests.support.system import System
from tests.support.tokens import token
from weelo_workers import __version__
from weelo_workers.contracts.statuses import Role

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]

SOURCE = ROOT / "clients" / "typescript"
OLDEST_NODE = 20
# What npm prints if the registry cannot be reached.
UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT"
)


README = (SOURCE / "README.md").read_text()
DEPENDENCIES = ("openapi-fetch", "openapi-typescript-helpers", "undici-types")
"""What the packages that the README installs depend on."""


def readme_installs() -> set[str]:
    """Return the packages, except the client, that are named in the README's `npm install` commands."""
    lines = re.findall(r"^npm install (?:--save-dev )?([^#\n]+)", README, re.MULTILINE)
    return {name for line in lines for name in line.split()} - {"@weelo/client"}


def block(language: str) -> str:
    """Return the README's first block of code in this language."""
    return README.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**without_weelo(), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def printed_by(*command: str, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed, and return its output."""
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the package, install its dependencies in the copy, and return the copy's folder."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is missing")
    folder = tmp_path_factory.mktemp("npm") / "clients" / "typescript"
    version = printed_by("node", "--version", cwd=ROOT)
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"node is {version.strip()}, older than {OLDEST_NODE}")
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "build", "dist", "LICENSE"))
    shutil.copy(ROOT / "LICENSE", folder.parents[1])
    installed = run("npm", "ci", "--no-audit", "--no-fund", cwd=folder)
    if installed.returncode and UNREACHABLE.search(installed.stderr):
        pytest.skip(f"the npm registry cannot be reached: {installed.stderr.strip().splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    return folder


@pytest.fixture(scope="module")
def compiled(package: Path) -> Path:
    """Return the package's folder after its tests were compiled into build/."""
    printed_by("npm", "run", "check", cwd=package)
    return package


@pytest.fixture(scope="module")
def user_project(package: Path) -> Path:
    """Return the folder of a project in which the packed client is installed."""
    printed_by("npm", "pack", cwd=package)
    folder = package.parents[1] / "project"
    client = folder / "node_modules" / "@weelo" / "client"
    (archive,) = package.glob("*.tgz")
    shutil.unpack_archive(archive, folder / "unpacked", "gztar")
    client.parent.mkdir(parents=True)
    (folder / "unpacked" / "package").rename(client)
    for name in (*readme_installs(), *DEPENDENCIES):
        link = folder / "node_modules" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(package / "node_modules" / name)
    (folder / "package.json").write_text("{}")
    for command in re.findall(r"^npm pkg set .+", README, re.MULTILINE):
        printed_by(*command.split(), cwd=folder)
    return folder


# --- the package ----------------------------------------------------------------------------------------


def test_the_package_has_the_version_of_the_api_and_pinned_dependencies() -> None:
    described = json.loads((SOURCE / "package.json").read_text())
    assert (described["version"], described["license"]) == (__version__, "Apache-2.0")
    versions = {**described["dependencies"], **described["devDependencies"]}
    assert {
        name for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)
    } == set()
    locked = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in versions} == versions
    assert [name for name, each in locked.items() if "resolved" in each] == [], "no host of a registry"


def test_the_types_match_the_code(package: Path, tmp_path: Path) -> None:
    documents.write(tmp_path)
    names = [str(tmp_path / name) for name in documents.NAMES]
    printed_by("node", "scripts/generate.mjs", *names, str(tmp_path), cwd=package)
    for name in ("openapi.d.ts", "frames.d.ts"):
        if (tmp_path / name).read_text() != (SOURCE / "src" / name).read_text():
            pytest.fail(f"clients/typescript/src/{name} is out of date: run `make clients`", pytrace=False)


def test_the_archive_contains_what_an_app_needs(user_project: Path) -> None:
    client = user_project / "node_modules" / "@weelo" / "client"
    found = {str(path.relative_to(client)) for path in client.rglob("*") if path.is_file()}
    modules = {"index", "client", "http", "socket"}
    assert found == {"package.json", "README.md", "LICENSE", "dist/openapi.d.ts", "dist/frames.d.ts"} | {
        f"dist/{module}.{ending}" for module in modules for ending in ("js", "d.ts")
    }


# --- what it does ---------------------------------------------------------------------------------------


def test_its_own_tests_pass(compiled: Path) -> None:
    printed = printed_by("node", "--test", "build/test/client.test.js", cwd=compiled)
    assert int(re.findall(r"^# pass (\d+)$", printed, re.MULTILINE)[0]) >= 18


def test_a_journey_with_a_cut_connection_misses_nothing(compiled: Path, system: System) -> None:
    printed = printed_by("node", "build/test/journey.js", cwd=compiled, **environment_of_new_users(system))
    result = json.loads(printed)
    assert result["status"] == "completed"
    assert result["reconnects"] >= 1 and result["lines"] > 10


def test_the_journey_of_the_readme_works_with_the_packed_client(user_project: Path, system: System) -> None:
    (user_project / "journey.ts").write_text(block("ts"))
    (user_project / "tsconfig.json").write_text(block("json"))
    printed_by("node", "node_modules/typescript/bin/tsc", "--project", ".", cwd=user_project)
    printed = printed_by("node", "out/journey.js", cwd=user_project, **environment_of_new_users(system))
    assert re.fullmatch(r"found KA02\w+\ncompleted\n", printed, re.IGNORECASE)


IN_THE_BROWSER = """
import { Rejected, WeeloClient, WeeloSocket } from "@weelo/client";

const token = async () => settings.token;
const client = new WeeloClient({ baseUrl: settings.api, token });
const frames = [];
const socket = new WeeloSocket({ baseUrl: settings.api, token, after: 0, onFrame: (frame) => void frames.push(frame.event) });
await socket.waitFor("connected");
const place = { latitude: 12.97, longitude: 77.59, address: "Bengaluru" };
const body = { pickup: place, drop: place, vehicleType: "Open", vehicleSubtype: "17 Feet", trucksNeeded: 1 };
const { id } = await client.result(client.api.POST("/api/v1/bookings", { body }));
const refused = await client.result(client.api.POST("/api/v1/bookings", { body })).catch((error) => error);
const cancelled = socket.waitFor("booking_cancelled", (frame) => frame.data.broadcastId === id);
await client.result(client.api.PUT("/api/v1/bookings/{id}/cancel", { params: { path: { id } }, body: {} }));
await cancelled;
socket.close();
await report({ refused: refused instanceof Rejected && refused.code, frames });
"""


@pytest.mark.skipif(browser.executable() is None, reason="Chromium is missing")
def test_it_works_in_a_browser(user_project: Path, system: System, tmp_path: Path) -> None:
    settings = {"api": system.url, "token": token(Role.CUSTOMER, uuid4())}
    modules = user_project / "node_modules"
    with browser.page(IN_THE_BROWSER, settings, modules=modules, profile=tmp_path) as results:
        result = results.get(timeout=60)
    assert result.get("refused") == "ORDER_ACTIVE_EXISTS", result
    frames = {"connected", "broadcast_state_changed", "command_settled", "booking_cancelled"}
    assert frames <= set(result["frames"])

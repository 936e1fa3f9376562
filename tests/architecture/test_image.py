"""The image is small and pinned, runs without root, shell and compiler, and contains only files that it needs."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch

import pytest

from tests.support.sources import ROOT, setup_cfg

STAGES: list[list[tuple[str, str]]] = []
for _line in re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines():
    if _line.strip() and not _line.startswith("#"):
        _instruction, _, _rest = _line.partition(" ")
        if _instruction == "FROM":
            STAGES.append([])
        STAGES[-1].append((_instruction, _rest.strip()))

BUILD, RUNTIME = STAGES
COPIED = [word for name, rest in BUILD if name == "COPY" for word in rest.split()[:-1]]

LOCKED = re.compile(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", re.MULTILINE)


def _all(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def test_both_stages_are_the_same_slim_python_which_the_project_supports() -> None:
    bases = {stage[0][1].split()[0] for stage in STAGES}
    assert len(bases) == 1
    version = re.fullmatch(r"python:3\.(\d+)(\.\d+)?-slim-\w+", bases.pop())
    assert version
    assert int(version[1]) >= int(setup_cfg()["options"]["python_requires"].removeprefix(">=3."))


def test_it_runs_as_an_unprivileged_user() -> None:
    user, _, group = _all(RUNTIME, "USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert [name for name, _ in RUNTIME].index("COPY") < [name for name, _ in RUNTIME].index("USER")


def test_what_runs_in_it_is_no_shell() -> None:
    assert json.loads(_all(RUNTIME, "CMD")[-1])[0] == "weelo"
    assert _all(RUNTIME, "ENTRYPOINT") == []


def test_there_is_no_compiler_and_none_is_needed() -> None:
    assert not re.search(r"apt|gcc|build-essential|pip", " ".join(_all(RUNTIME, "RUN")))
    assert "--only-binary=:all:" in " ".join(_all(BUILD, "RUN"))


def test_it_is_built_from_files_whose_hash_is_known() -> None:
    assert "--require-hashes --requirement requirements.lock" in " ".join(_all(BUILD, "RUN"))
    locked = dict(LOCKED.findall((ROOT / "requirements.lock").read_text()))
    extras = setup_cfg()["options.extras_require"]
    asked = re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)$", extras["server"] + extras["otel"], re.MULTILINE)
    assert len(asked) > 20
    assert {name: locked.get(name) for name, _ in asked} == dict(asked), "run `make lock`"


def test_logs_are_not_held_back() -> None:
    assert "PYTHONUNBUFFERED=1" in " ".join(_all(RUNTIME, "ENV"))


def test_every_package_of_the_project_is_in_it() -> None:
    packages = {name.rstrip("*") for name in setup_cfg()["options.packages.find"]["include"].split()}
    modules = {f"{name}.py" for name in setup_cfg()["options"]["py_modules"].split()}
    assert {*packages, *modules} <= set(COPIED)


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_exists_and_is_let_through(name: str) -> None:
    assert (ROOT / name).exists(), f"Dockerfile copies {name}"
    ignored = False
    for rule in (ROOT / ".dockerignore").read_text().split("\n"):
        if rule and not rule.startswith("#") and fnmatch(name, rule.lstrip("!")):
            ignored = not rule.startswith("!")
    assert not ignored, f".dockerignore keeps {name} out"


def test_nothing_else_goes_into_the_build() -> None:
    rules = [
        line for line in (ROOT / ".dockerignore").read_text().split("\n") if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    assert {rule.lstrip("!") for rule in rules if rule.startswith("!")} == set(COPIED)

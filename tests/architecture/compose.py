"""docker-compose.yml as Compose parses it, before and after its variables are substituted."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from typing import Any

import yaml

from tests.support.sources import ROOT

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:?[-?+])(?P<rest>[^}]*))?\}")


def text() -> str:
    return (ROOT / "docker-compose.yml").read_text()


@lru_cache
def document() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text())
    return parsed


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def own_services() -> dict[str, dict[str, Any]]:
    """Return the services that run our image."""
    return {name: service for name, service in services().items() if service["image"] == "weelo"}


def filled_in(value: str) -> str:
    """Replace each `${VARIABLE…}` in the value by its default, or by the word `given` if it has no default."""
    return VARIABLE.sub(lambda m: m["rest"] if m["operator"] == ":-" else "given", value)


def command(name: str) -> list[str]:
    return shlex.split(filled_in(services()[name]["command"]))


def program(name: str) -> list[str]:
    """Return the service's command as words, without a leading `python -P -m`."""
    words = command(name)
    return words[3:] if words[:3] == ["python", "-P", "-m"] else words


def option(words: list[str], name: str) -> str:
    """Return the value of the option `--name=value`, which the command must contain exactly once."""
    (value,) = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return value


def seconds(duration: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))

"""Policy files: YAML with values by the names of `Policy` (`weelo_workers/lifecycles/policy.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from weelo_lab.demand import FileError, read_yaml
from weelo_workers.lifecycles.policy import Policy
from weelo_workers.settings import ConfigurationError, Settings

NAMES = tuple(field.name for field in fields(Policy))


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """The values of a policy file. Names that are missing have the defaults of Weelo's settings.

    `name`: the value of `name` in the file, or the name of the file without its ending.
    """

    name: str
    values: tuple[tuple[str, str], ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The values as environment variables, from which a new broadcast takes its policy."""
        return {name.upper(): value for name, value in self.values}


def read(path: Path) -> NamedPolicy:
    """Return the policy of a file. Raises FileError."""
    values = dict(read_yaml(path))
    return parse(str(values.pop("name", path.stem)), values, str(path))


def parse(name: str, values: Mapping[str, Any], where: str = "policy") -> NamedPolicy:
    """Return a policy with these values. Raises FileError."""
    for given in values:
        if given not in NAMES:
            raise FileError(f"{where}: {given} is not a value of a policy; there are {', '.join(NAMES)}")
    texts = {given: _text(value) for given, value in values.items()}
    try:
        Settings.model_validate(texts)
    except (ConfigurationError, ValueError) as refused:
        raise FileError(f"{where}: {_first_line(refused)}") from None
    return NamedPolicy(name, tuple(sorted(texts.items())))


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _first_line(refused: Exception) -> str:
    errors = getattr(refused, "errors", None)
    if errors is None:
        return str(refused).splitlines()[0]
    first = errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")

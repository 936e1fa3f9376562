"""Reads YAML, refuses mappings with a repeated name, and describes errors in one line."""

from __future__ import annotations

from typing import Any

import yaml


def load(text: str) -> Any:
    """Return the value of a YAML document. Raises ValueError with one line that says where and what is wrong."""
    try:
        return yaml.load(text, _UniqueNames)  # noqa: S506 (_UniqueNames is a SafeLoader)
    except yaml.MarkedYAMLError as problem:
        at = problem.problem_mark
        where = f"line {at.line + 1}, column {at.column + 1}: " if at else ""
        raise ValueError(f"{where}{problem.problem}") from None
    except yaml.YAMLError as problem:
        raise ValueError(str(problem).splitlines()[0]) from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


class _UniqueNames(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Refuses a mapping with a repeated name. PyYAML would silently take the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"found duplicate key {key.value!r}", problem_mark=key.start_mark
                )
            seen.add(name)
        constructed: dict[Any, Any] = super().construct_mapping(node, deep)
        return constructed

"""The examples of docs/apps.md run as they are printed there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.system import System
from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "apps.md"


def example(number: int, system: System, role: Role) -> subprocess.Popen[str]:
    """Start one of the page's Python examples against `system`, as a user of this role."""
    code = DOCUMENT.read_text().split("```python\n")[number].split("```", 1)[0]
    assert code.count("http://127.0.0.1:8000") == 1
    return subprocess.Popen(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", system.url)],
        env={**os.environ, "TOKEN": token(role, uuid4())},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_two_examples_of_the_documentation_match_a_request_with_a_fleet(system: System) -> None:
    fleet = example(2, system, Role.TRANSPORTER)
    assert fleet.stdout is not None and fleet.stdout.readline() == "online\n"
    asked, _ = example(1, system, Role.CUSTOMER).communicate(timeout=60)
    won, _ = fleet.communicate(timeout=60)
    event, number = asked.split()
    assert (event, number[:5], won) == ("truck_confirmed", "DL1LA", "fully_filled\n")

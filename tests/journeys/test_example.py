"""The example of docs/apps.md, as somebody would copy it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.people import Listener, Truck
from tests.system import System, token
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "apps.md"


def test_the_example_of_the_documentation_finds_a_truck(system: System) -> None:
    _, rest = DOCUMENT.read_text().split("```python\n", 1)
    example = rest.split("```", 1)[0]
    assert example.count("http://127.0.0.1:8000") == 1
    truck = Truck(system)
    fleet = Listener(truck.client)
    asking = subprocess.Popen(
        [sys.executable, "-c", example.replace("http://127.0.0.1:8000", system.url)],
        env={**os.environ, "TOKEN": token(Role.CUSTOMER, uuid4())},
        stdout=subprocess.PIPE,
        text=True,
    )
    offer = fleet.until("new_broadcast").data
    plate = truck.accept(offer["broadcastId"])["assignments"][0]["vehicleNumber"]
    said, _ = asking.communicate(timeout=20)
    assert said.split() == ["truck_confirmed", plate]
    fleet.close()
    truck.available(False)

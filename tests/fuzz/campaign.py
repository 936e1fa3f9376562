"""Runs schemathesis with all its checks against a running system, as users of all roles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.sources import ROOT
from tests.support.system import System
from tests.support.tokens import token
from weelo_client import WeeloClient
from weelo_workers.contracts.statuses import Role

LIMITS = {"COMMANDS_PER_SECOND": "10000", "SHED_AFTER_SECONDS": "600", "DRIVER_ACCEPT_SECONDS": "600"}
"""Settings with which neither the rate limit nor load shedding refuses the requests."""

DELHI = {"latitude": 28.6315, "longitude": 77.2167, "address": "Connaught Place"}


@dataclass(frozen=True)
class Round:
    """The result of a run of schemathesis. `statuses`: by operation, how often each status occurred. `report`: the output."""

    failed: bool
    statuses: dict[str, dict[str, int]]
    report: str

    @property
    def requests(self) -> int:
        return sum(sum(each.values()) for each in self.statuses.values())

    @property
    def succeeded(self) -> set[str]:
        """Return the operations with at least one successful request."""
        return {name for name, each in self.statuses.items() if any(status < "300" for status in each)}


def fuzz(
    system: System,
    folder: Path,
    seed: int,
    *,
    seconds: int | None = None,
    examples: int = 30,
    phases: str = "examples,coverage,fuzzing,stateful",
) -> Round:
    """Run schemathesis once. `seconds`: its time limit. `examples`: the maximum of requests per operation and phase."""
    count = folder / "requests.json"
    options = [f"--max-time={seconds}"] if seconds else []
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={ROOT / 'tests' / 'fuzz' / 'schemathesis.toml'}",
            "run",
            f"{system.url}/openapi.json",
            "--checks=all",
            # This route opens a WebSocket; tests/sockets tests it.
            "--exclude-path=/api/v1/ws",
            # This route can pause all new requests. The API would then answer them with 503. tests/admin and
            # tests/journeys test this route.
            "--exclude-path=/api/v1/admin/policies/{scope}/paused",
            f"--max-examples={examples}",
            f"--seed={seed}",
            f"--phases={phases}",
            # With several threads, Hypothesis sometimes fails while it parses source code under Python 3.11.
            "--workers=1",
            "--continue-on-failure",
            "--suppress-health-check=all",
            "--generation-database=none",
            "--no-color",
            "--warnings=off",
            *options,
        ],
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(ROOT),
            "FUZZ_SCENE": json.dumps(scene(system)),
            "FUZZ_COUNT": str(count),
            "FUZZ_SEED": str(seed),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    statuses = json.loads(count.read_text()) if count.exists() else {}
    return Round(done.returncode != 0, statuses, done.stdout + done.stderr)


def scene(system: System) -> dict[str, Any]:
    """Let a customer, a fleet and a driver act. Return their tokens, and ids in states in which commands can succeed."""
    users = {role: uuid4() for role in Role}
    customer, fleet = (
        WeeloClient(system.url, token(r, users[r]), wait=20) for r in (Role.CUSTOMER, Role.TRANSPORTER)
    )
    driver = str(users[Role.DRIVER])
    number = f"HR55{uuid4().hex[:6].upper()}"
    kind = {"vehicleType": "open", "vehicleSubtype": "17 Feet"}
    with customer, fleet:
        vehicle = fleet.command("PUT", f"/vehicles/{number}", kind).value()
        fleet.command("PUT", f"/drivers/{driver}", {"name": "Ravi", "phone": "+91 98100 00000"})
        fleet.command("PUT", "/transporter/availability", {"isAvailable": True})
        fleet.send_telemetry(
            "/transporter/heartbeat", {"latitude": DELHI["latitude"], "longitude": DELHI["longitude"]}
        )
        booking = customer.command(
            "POST", "/bookings", {"pickup": DELHI, "drop": DELHI, **kind, "trucksNeeded": 3}
        ).value()
        truck = {"vehicleId": vehicle["id"], "driverId": driver}
        won = fleet.command("POST", f"/broadcasts/{booking['id']}/accept", truck).value()["assignments"][0]
    return {
        "tokens": {role.value: token(role, user) for role, user in users.items()},
        "truck": truck,
        "ids": {
            "broadcasts": [booking["id"]],
            "truck-requests": [slot["id"] for slot in booking["truckRequests"]],
            "assignments": [won["id"]],
            "trips": [won["tripId"]],
            "drivers": [driver],
            "vehicles": [number],
            "offers": [str(users[Role.TRANSPORTER])],
        },
    }

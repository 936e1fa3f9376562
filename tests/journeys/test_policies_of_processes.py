"""All workers use the same policy, whatever their environments, and whether they started before or after a change."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from tests.support.suspended import suspended, with_children
from tests.support.system import System
from weelo_client import Rejected, WeeloClient
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.runtime import programs
from weelo_workers.runtime.programs import Options

pytestmark = pytest.mark.xdist_group("system")

CENTER = {"latitude": -45.0, "longitude": 95.0}
"""In the middle of an ocean, so that no other test is concerned."""
_RADII_OF_SCOPES = count(50, -1)
REASON = "a test of the processes"
FIRST, SECOND, OF_NEWER_WORKER = (1, 2, 3, 4), (11, 12, 13, 14), (101, 102, 103, 104)
OF_ENVIRONMENT = (10, 25, 50, 75)
"""The radii of the rings by the first version, by the second one, and by the environments of the two workers."""


def put(admin: WeeloClient, scope: str, radii: tuple[int, ...]) -> int:
    """Store a version of the policy with these radii, and return its number. Its timers are due only after the test."""
    values: Any = {
        "radiusStepsKm": list(radii),
        "radiusStepSeconds": 600,
        "broadcastTimeoutSeconds": 3_600,
        "minOffersPerStep": 0,
    }
    area: Any = {"center": CENTER, "radiusKm": _radius_of(scope)}
    return int(admin.put_policy(scope, values, REASON, area=area)["version"])


@lru_cache
def _radius_of(scope: str) -> int:
    """Return a radius (km) that is smaller than those of earlier scopes, because the scope with the smallest area applies."""
    return next(_RADII_OF_SCOPES)


class Request:
    """A booking, with what an operator sees of it and the operator's commands for it."""

    def __init__(self, system: System) -> None:
        pickup: Any = {**CENTER, "address": "A ship"}
        self.customer = system.client(Role.CUSTOMER, uuid4())
        self.admin = system.client(Role.ADMIN, uuid4())
        self.view = self.customer.create_booking(pickup, pickup, "open", "17 Feet", trucks_needed=1)
        self.id = self.view["id"]

    def widen(self) -> None:
        """Let the operator widen the search: a worker of the queue `broadcasts` makes the next step at once."""
        self.admin.widen_broadcast(self.id, REASON)

    @property
    def radii(self) -> list[float | None]:
        """The radii of the steps made so far, in order."""
        details = [each["details"] for each in self.admin.timeline(self.id)]
        return [each["radiusKm"] for each in details if "radiusKm" in each]

    def cancel(self) -> None:
        self.customer.cancel_booking(self.id)


@pytest.fixture
def database(system: System) -> Iterator[Engine]:
    engine = connect(system.environment["DATABASE_URL"])
    yield engine
    engine.dispose()


@contextmanager
def another_worker(system: System, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a second worker of the queue `broadcasts`, with other rings in its environment."""
    every = programs.workers(Options(folder, worker_per_queue=True))
    [worker] = [each for each in every if each.name == "broadcasts"]
    argv = [word.replace("--hostname=", "--hostname=another-") for word in worker.argv]
    radii = ",".join(map(str, OF_NEWER_WORKER))
    environment = programs.environment(
        {**system.environment, "RADIUS_STEPS_KM": radii, "MAX_OPEN_OFFERS": "1"}
    )
    process = subprocess.Popen(argv, env=programs.env_for_role(environment, programs.WORKERS_ROLE))
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_POLI_01_workers_from_before_and_after_a_change_and_one_killed_use_the_same_policy(
    system: System, tmp_path: Path
) -> None:
    admin = system.client(Role.ADMIN, uuid4())
    scope = f"ocean-{uuid4().hex[:8]}"
    put(admin, scope, FIRST)
    old = Request(system)
    second = put(admin, scope, SECOND)
    reference = {"scope": scope, "version": second}
    with another_worker(system, tmp_path) as worker:
        with suspended(system.pids("broadcasts")):
            # The other workers are suspended, so the worker that was started after the change executes these commands.
            new = Request(system)
            old.widen()
        with suspended(with_children(worker.pid)):
            # The worker that was started before the change executes these commands.
            old.widen()
            new.widen()
            newest = Request(system)
            system.kill("broadcasts")
            # The worker that the supervisor has started again executes these commands.
            old.widen()
            last = Request(system)
        newest.widen()
    assert [each.view["policy"] for each in (new, newest, last)] == [reference] * 3
    assert old.radii == list(FIRST)
    assert new.radii == list(SECOND[:2])
    assert newest.radii == list(SECOND[:2])
    assert last.radii == list(SECOND[:1])
    for each in (old, new, newest, last):
        each.cancel()


def test_POLI_01_rows_of_a_version_without_policies_and_new_ones_are_processed_side_by_side(
    system: System, database: Engine
) -> None:
    admin = system.client(Role.ADMIN, uuid4())
    scope = f"ocean-{uuid4().hex[:8]}"
    second = put(admin, scope, SECOND)
    without, partly, new = (Request(system) for _ in range(3))
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE broadcasts SET policy_settings = NULL, policy_scope = NULL, policy_version = NULL WHERE id = :id"
            ),
            {"id": UUID(without.id)},
        )
        # These settings look as if another version of the program had stored them: two values are missing, and this
        # version does not know `newValue`.
        connection.execute(
            text(
                "UPDATE broadcasts SET policy_settings ="
                " policy_settings - 'softOpenOffers' - 'contractedFirstSeconds' || '{\"newValue\": 7}' WHERE id = :id"
            ),
            {"id": UUID(partly.id)},
        )
    for each in (without, partly, new):
        each.widen()
    later = Request(system)
    # `without` uses the policy of the environment, whose `minOffersPerStep` is 1: after a ring without a new offer the
    # next one follows at once. So all its steps were made, up to the last one, which has no radius.
    assert without.radii == [SECOND[0], *OF_ENVIRONMENT[1:], None]
    assert partly.radii == new.radii == list(SECOND[:2])
    assert without.admin.get(f"/broadcasts/{without.id}")["policy"] == {"scope": "default", "version": 0}
    assert later.view["policy"] == {"scope": scope, "version": second}
    for each in (without, partly, new, later):
        each.cancel()


def test_POLI_01_every_API_process_knows_a_pause_and_a_new_version_after_the_answer(system: System) -> None:
    admin = system.client(Role.ADMIN, uuid4())
    scope = f"ocean-{uuid4().hex[:8]}"
    put(admin, scope, FIRST)
    assert len(system.api_processes()) > 1

    def outcome(_: int) -> str:
        try:
            request = Request(system)
        except Rejected as refused:
            return refused.code
        request.cancel()
        return f"version {request.view['policy']['version']}"

    def outcomes() -> set[str]:
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(outcome, range(16)))

    admin.pause_policy(scope, True, REASON)
    try:
        assert outcomes() == {"AREA_PAUSED"}
    finally:
        admin.pause_policy(scope, False, REASON)
    number = put(admin, scope, SECOND)
    assert outcomes() == {f"version {number}"}

    def effective(_: int) -> list[float]:
        [found] = [each for each in system.client(Role.ADMIN, uuid4()).policies() if each["scope"] == scope]
        radii: list[float] = found["effective"]["radiusStepsKm"]
        return radii

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(effective, range(16))) == [list(SECOND)] * 16

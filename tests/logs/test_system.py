"""A running system with logs in JSON and with traces: every line is complete, and none contains private data."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.support.fcm_server import FcmServer
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.support.people import Listener
from tests.support.servers import LOGS, own_database, own_redis
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from tests.support.webhook_receiver import WebhookReceiver
from weelo_client import Place, WeeloClient
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect

pytestmark = pytest.mark.xdist_group("system")

KIND = ("container", "24 Feet")
PICKUP: Place = {"latitude": 28.613917, "longitude": 77.209041, "address": "7 Rue Inventee, Delhi"}
DROP: Place = {"latitude": 26.912483, "longitude": 75.787321, "address": "Warehouse Nine, Jaipur"}
DEVICE = f"device-token-{uuid4().hex}:APA91b"
WEBHOOK_PATH = f"/secret-path-{uuid4().hex}"
PRIVATE = {
    "customer's name": "Asha Verma-Logtest",
    "customer's phone": "+91 98111 22233",
    "driver's name": "Harpreet Singh-Logtest",
    "driver's phone": "+91 97222 33344",
    "licence": "DL-0420110149646",
    "notes": "ring twice at the blue gate",
    "reason": "my uncle lends me his truck",
    "pickup": PICKUP["address"],
    "drop": DROP["address"],
    "latitude": "28.6139",
    "longitude": "77.2090",
    "drop's latitude": "26.9124",
    "phone of the poisoned command": "+91 96333 44455",
    "device": DEVICE,
    "webhook": WEBHOOK_PATH,
    "every token begins with this": "eyJ",
}


class PlayedSystem:
    """A system whose users have sent private data. `lines`: its log records. `printed`: all of its output."""

    def __init__(self, system: System, log: Path, traces: OtlpReceiver, poison: UUID) -> None:
        self.system, self.log, self.traces, self.poison = system, log, traces, poison

    @property
    def printed(self) -> str:
        return self.log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.printed.splitlines() if line.startswith("{")]

    def of_command(self, name: str, outcome: str = "settled") -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("command") == name and line.get("outcome") == outcome]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedSystem]:
    folder, database = tmp_path_factory.mktemp("logs"), own_database(LOGS)
    fcm, traces, endpoint = FcmServer(), OtlpReceiver(), WebhookReceiver()
    log = folder / "system.log"
    system = System(
        folder / "data",
        log,
        DATABASE_URL=database,
        REDIS_URL=own_redis(LOGS),
        FCM_ENDPOINT=fcm.url,
        LOG_FORMAT="json",
        OTEL_EXPORTER_OTLP_ENDPOINT=traces.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
        BROADCAST_TIMEOUT_SECONDS="4",
        RADIUS_STEP_SECONDS="1",
    )
    try:
        _end_beat(system, log)
        poison = _live(system, database, fcm, endpoint)
        yield PlayedSystem(system, log, traces, poison)
    finally:
        system.stop()
        for server in (fcm, traces, endpoint):
            server.close()


def _end_beat(system: System, log: Path) -> None:
    """Kill beat, so that `weelo up` has something to log: it starts beat again."""
    os.kill(system.pids("beat")[0], signal.SIGKILL)
    eventually(lambda: "starting it again" in log.read_text(), within=20)


def _live(system: System, database: str, fcm: FcmServer, endpoint: WebhookReceiver) -> UUID:
    fleet_id, driver_id = uuid4(), uuid4()
    fleet, driver = system.client(Role.TRANSPORTER, fleet_id), system.client(Role.DRIVER, driver_id)
    own = token(Role.CUSTOMER, uuid4(), name=PRIVATE["customer's name"], phone=PRIVATE["customer's phone"])
    customer = WeeloClient(system.url, own, wait=20)
    vehicle = fleet.register_vehicle(f"HR{fleet_id.hex[:8]}", *KIND)["id"]
    fleet.register_driver(
        str(driver_id), PRIVATE["driver's name"], PRIVATE["driver's phone"], PRIVATE["licence"]
    )
    fleet.register_device(DEVICE, "android")
    fleet.create_webhook(endpoint.url + WEBHOOK_PATH, ["*"], description=PRIVATE["notes"])
    fleet.set_availability(True)
    fleet.heartbeat(PICKUP["latitude"], PICKUP["longitude"])
    app = Listener(customer)
    booking = customer.create_booking(PICKUP, DROP, *KIND, trucks_needed=1, notes=PRIVATE["notes"])["id"]
    eventually(lambda: DEVICE in fcm.tokens(), within=20)
    fleet.accept(booking, vehicle, str(driver_id))
    assignment = app.until("truck_confirmed").data["assignment"]["id"]
    trip = driver.accept_assignment(assignment)["tripId"]
    driver.report_location(trip, PICKUP["latitude"], PICKUP["longitude"])
    customer.cancel_booking(booking, PRIVATE["reason"])
    app.until("booking_cancelled")
    expiring = customer.create_booking(PICKUP, DROP, "bulker", "32 Ton", trucks_needed=1)["id"]
    app.until("no_vehicles_available", broadcastId=expiring)
    app.close()
    fleet.forget_device(DEVICE)
    eventually(lambda: endpoint.messages, within=20)
    _send_what_is_refused(system)
    return _poison(database)


def _send_what_is_refused(system: System) -> None:
    with system.http(Role.TRANSPORTER, uuid4()) as stranger:
        stranger.put(f"/drivers/{uuid4()}", json={"name": 7, "phone": PRIVATE["driver's phone"]})
        stranger.post(f"/broadcasts/{uuid4()}/accept", content=b'{"' + PRIVATE["reason"].encode())
        stranger.delete(f"/devices/{DEVICE}/{DEVICE}")
    bad = token(Role.CUSTOMER, uuid4(), secret="another secret, long enough for HS256")
    httpx.get(f"{system.url}/api/v1/events?token={bad}", headers={"Authorization": f"Bearer {bad}"})


def _poison(database: str) -> UUID:
    """Write a command whose payload cannot be read, with a phone number in it. Return its id when an attempt has failed."""
    poison, engine = uuid4(), connect(database)
    details = {"name": PRIVATE["driver's name"], "phone": [PRIVATE["phone of the poisoned command"]]}
    payload = json.dumps({"transporter_id": str(uuid4()), "driver_id": str(uuid4()), "details": details})
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO mailbox (id, name, queue, payload, request_id, due_at, wake_at)
                VALUES (:id, 'fleet.register_driver', 'fleet', CAST(:payload AS jsonb), 'the-poisoned-one',
                        clock_timestamp(), clock_timestamp())
            """),
            {"id": poison, "payload": payload},
        )

    def failed() -> bool:
        with engine.connect() as connection:
            tried = text("SELECT attempts FROM mailbox WHERE id = :id")
            return bool(connection.execute(tried, {"id": poison}).scalar())

    eventually(failed, within=20)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM mailbox WHERE id = :id"), {"id": poison})
    engine.dispose()
    return poison


def test_every_line_of_every_process_has_time_level_process_and_message(played: PlayedSystem) -> None:
    others = [line for line in played.printed.splitlines() if not line.startswith("{")]
    assert others == [f"weelo ready on {played.system.url}"]
    for line in played.lines:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["level"] in {"INFO", "WARNING", "ERROR"} and line["message"], line
    assert {line["process"] for line in played.lines} == {"up", "api", "worker", "beat"}
    queues = {line.get("queue") for line in played.lines if line["process"] == "worker"}
    assert queues == set(QUEUES)


def test_nothing_private_is_in_any_line_or_span(played: PlayedSystem) -> None:
    eventually(lambda: played.of_command("broadcasts.expire"))
    printed, sent = played.printed, played.traces.raw.decode(errors="replace")
    assert len(printed) > 10_000 and len(sent) > 10_000
    assert [what for what, value in PRIVATE.items() if value in printed] == []
    assert [what for what, value in PRIVATE.items() if value in sent] == []


def test_each_command_is_one_line_of_the_worker_that_executed_it(played: PlayedSystem) -> None:
    [accept] = played.of_command("offers.accept")
    assert (accept["process"], accept["queue"], accept["role"]) == ("worker", "offers", "transporter")
    assert accept["broadcast_id"] and accept["command_id"] and accept["request_id"]
    assert 0 <= accept["queue_wait"] < 60 and 0 < accept["duration"] < 60
    assert accept["message"] == "offers.accept is settled"
    created, _ = played.of_command("broadcasts.create_booking")
    assert created["broadcast_id"] == accept["broadcast_id"]
    timers = played.of_command("broadcasts.expire")
    assert timers and {line["fired_by"] for line in timers} <= {"countdown", "sweep"}
    ids = [
        line["command_id"]
        for line in played.lines
        if line.get("outcome") == "settled" and "command_ids" not in line
    ]
    assert len(ids) == len(set(ids))


def test_a_failure_has_its_traceback_in_the_same_record(played: PlayedSystem) -> None:
    failure = eventually(lambda: played.of_command("fleet.register_driver", "failed"))[0]
    assert (failure["level"], failure["command_id"]) == ("ERROR", str(played.poison))
    assert failure["request_id"] == "the-poisoned-one"
    assert "details.phone" in failure["message"] and "Traceback" in failure["exception"]


def test_one_trace_goes_through_all_processes(played: PlayedSystem) -> None:
    traces = played.traces
    eventually(lambda: traces.named("push") and traces.named("post to a webhook"), within=20)
    create = "POST /api/v1/bookings"
    [trace, *_] = [span.trace_id for span in traces.named(create)]

    def spans_of_trace() -> list[ReceivedSpan]:
        found = [span for span in traces.spans if span.trace_id == trace]
        assert {create, "publish frames", "push", "post to a webhook"} <= {span.name for span in found}
        return found

    spans = eventually(spans_of_trace, within=20)
    assert {span.process for span in spans} >= {"api", "worker"}
    by_id = {span.span_id: span for span in spans}
    [request] = [span for span in spans if not span.parent_id]
    assert (request.name, request.process) == (create, "api")
    [command] = [span for span in spans if span.name == "broadcasts.create_booking"]
    assert by_id[command.parent_id] is request and command.process == "worker"
    assert command.attributes["weelo.outcome"] == "settled"
    assert by_id[next(s for s in spans if s.name == "push").parent_id].name == "notifications.push"
    assert by_id[next(s for s in spans if s.name == "post to a webhook").parent_id].name == "webhooks.deliver"
    lines = [line for line in played.lines if line.get("trace_id") == trace]
    assert {line["command"] for line in lines} >= {"broadcasts.create_booking", "notifications.push"}
    timers = eventually(lambda: traces.named("broadcasts.expire"), within=20)
    assert all(len(span.linked_traces) == 1 and not span.parent_id for span in timers)


def test_a_process_that_is_killed_and_started_again_is_logged(played: PlayedSystem) -> None:
    [beat, *_] = played.system.pids("beat")
    os.kill(beat, signal.SIGKILL)
    eventually(lambda: any("beat was ended by SIGKILL" in line["message"] for line in played.lines))
    began = [line for line in played.lines if line["process"] == "beat" and "Starting" in line["message"]]
    eventually(
        lambda: (
            sum(line["process"] == "beat" and "Starting" in line["message"] for line in played.lines)
            > len(began) - 1
        ),
        within=30,
    )
    [line] = [line for line in played.lines if "SIGKILL" in line["message"]]
    assert (line["process"], line["level"]) == ("up", "WARNING")
    assert re.fullmatch(r"beat was ended by SIGKILL; starting it again in [\d.]+ s", line["message"])


def test_a_collector_that_cannot_be_reached_delays_nothing_and_is_logged_once(played: PlayedSystem) -> None:
    """This test must be the last one of this file, because it stops the receiver of traces."""
    played.traces.close()
    with played.system.http(Role.CUSTOMER, uuid4()) as customer:
        for _ in range(5):
            began = time.monotonic()
            assert customer.get("/events").status_code == 200
            assert time.monotonic() - began < 5

    def lost() -> list[dict[str, Any]]:
        return [line for line in played.lines if "collector of traces cannot be reached" in line["message"]]

    eventually(lost, within=30)
    with played.system.http(Role.CUSTOMER, uuid4()) as customer:
        assert customer.get("/events").status_code == 200
    pids = [line["pid"] for line in lost()]
    assert len(pids) == len(set(pids)), "each process logs it once"

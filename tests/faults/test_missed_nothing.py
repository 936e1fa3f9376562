"""Whatever breaks while requests come and go, everybody's log is whole and everybody's list is right.

A crowd of transporters listens, each on a socket of its own; customers ask, cancel, let expire; transporters accept and
decline. Meanwhile sockets are cut, and API processes, the notifier and Redis are killed. In the end every phone must have
heard what the server's log has, line by line, and a list of open offers made of nothing but frames must be the server's.

The plan is made of a seed, which is printed: `WEELO_SEED=… pytest tests/faults/test_missed_nothing.py` plays it again.
The short form with 40 listeners takes some 60 s, the long one (`WEELO_LISTENERS=500 WEELO_BROADCASTS=200`) some 15 min.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import selectors
import signal
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request as Upgrade,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tests.people import book
from tests.system import System, doctor, token
from tests.waiting import eventually
from weelo_client import Channel, Frame, Refused, WeeloClient, WeeloError, open_pool
from weelo_client.channel import FINAL_CODES
from weelo_client.connection import back_off
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey

LISTENERS = int(os.environ.get("WEELO_LISTENERS", "40"))
BROADCASTS = int(os.environ.get("WEELO_BROADCASTS", "25"))
SEED = int(os.environ.get("WEELO_SEED") or secrets.randbelow(1_000_000))

LINES = LISTENERS * BROADCASTS  # about half of those that will be written
PLAY_SECONDS = max(18.0, LINES / 350)  # what two cores can tell in that time
QUIET_WITHIN = 60 + LINES / 300
HANGING_SECONDS = 3.0 if LINES < 10_000 else 10.0  # of Redis, before it dies

pytestmark = [
    pytest.mark.xdist_group("faults"),
    pytest.mark.timeout(150 + PLAY_SECONDS + 2 * QUIET_WITHIN),
]

STANDING = 3
REFERENCE_CLIENTS = 5
CUTS_EACH = 3
ACK_AFTER_SECONDS = 0.3

ENDINGS = ("taken", "taken, then cancelled", "partly taken", "cancelled", "expired")
WAYS_TO_PART = ("closed", "reset", "left behind")
WITHDRAWALS = {
    "fully_filled": "booking_fully_filled",
    "cancelled": "booking_cancelled",
    "expired": "booking_expired",
}


# --- what one has heard -----------------------------------------------------------------------------------


class Line(NamedTuple):
    """One line of a log, in a form that compares: the database keeps no order of fields."""

    id: str | None
    event: str
    at: str | None
    data: str

    @classmethod
    def of(cls, event_id: str | None, event: str, at: str | None, data: dict[str, Any]) -> Line:
        return cls(event_id, event, at, json.dumps(data, sort_keys=True))


class Ear:
    """One user's log as frames tell it, and the list of open offers that follows from nothing else."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.offers: set[str] = set()
        self.withdrawn: dict[str, list[str]] = defaultdict(list)
        self.repeated = 0
        self.wrong: list[str] = []
        self._early: dict[int, Line] = {}
        self._announced: set[str] = set()

    @property
    def newest(self) -> int:
        return len(self.lines)

    def take(self, seq: int, line: Line) -> bool:
        """Whether this was the next line. One that comes early comes again, behind those that are missing."""
        known = self.lines[seq - 1] if seq <= self.newest else self._early.pop(seq, line)
        if known != line:
            self.wrong.append(f"{seq} was {known} and came again as {line}")
        if seq <= self.newest:
            self.repeated += 1
            return False
        if seq > self.newest + 1:
            self._early[seq] = line
            return False
        self.lines.append(line)
        self._follow(line.event, json.loads(line.data))
        return True

    def take_frame(self, frame: Frame) -> None:
        """From the reference client, who hands over each line once and in order."""
        if frame.seq is not None:
            if frame.seq != self.newest + 1:
                self.wrong.append(f"the reference client went from {self.newest} to {frame.seq}")
            self.take(frame.seq, Line.of(frame.id, frame.event, frame.at, frame.data))

    def _follow(self, event: str, data: dict[str, Any]) -> None:
        if event == "new_broadcast":
            broadcast = data["broadcastId"]
            # Nothing is offered again in this play: no driver refuses, and none has to answer soon.
            if broadcast in self._announced or broadcast in self.withdrawn:
                self.wrong.append(f"{broadcast} was announced again, or after its end")
            self._announced.add(broadcast)
            self.offers.add(broadcast)
        elif event in WITHDRAWALS.values():
            self.withdrawn[data["broadcastId"]].append(event)
            self.offers.discard(data["broadcastId"])
        elif (event, data.get("command"), data.get("status")) == (
            "command_settled",
            "offers.decline",
            "succeeded",
        ):
            self.offers.discard(data["result"]["broadcastId"])


# --- phones -----------------------------------------------------------------------------------------------


class Phone:
    """A bare socket client that says where it wants to go on, and believes nothing: it notes whatever a
    connection should not do. For the crowd's thread only."""

    def __init__(self, system: System, who: UUID, ear: Ear) -> None:
        self.ear = ear
        self.wire: socket.socket | None = None
        self.due = 0.0
        self.connections = 0
        self.turned_away: Counter[int] = Counter()
        self._address = ("127.0.0.1", system.port)
        self._authorization = f"Bearer {token(Role.TRANSPORTER, who, ttl=7200)}"
        self._left_behind: list[socket.socket] = []
        self._attempt = 0

    def dial(self) -> socket.socket | None:
        """None: nobody there, try again when it is `due`."""
        self._attempt += 1
        try:
            wire = socket.create_connection(self._address, timeout=5)
        except OSError:
            self.due = time.monotonic() + back_off(self._attempt)
            return None
        wire.setblocking(False)
        self.wire = wire
        self.connections += 1
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._text = ""
        self._asked_after: int | None = None
        self._next: int | None = None
        self._has_resumed = False
        self._acked, self._ack_at = self.ear.newest, 0.0
        self._send(
            Upgrade(
                host="127.0.0.1",
                target="/api/v1/ws",
                extra_headers=[(b"Authorization", self._authorization.encode())],
            )
        )
        return wire

    def read(self) -> bool:
        """Whatever has come. False: this connection is over."""
        assert self.wire is not None
        try:
            if not (received := self.wire.recv(64 * 1024)):
                return False
            self._protocol.receive_data(received)
            return all(self._hear(event) for event in self._protocol.events())
        except BlockingIOError:
            return True
        except (OSError, RemoteProtocolError):
            return False

    def part(self, how: str = "closed") -> None:
        """Nobody says goodbye: the line is closed, or reset, or the phone is in another network by now and
        the server's end of the line leads nowhere."""
        wire, self.wire = self.wire, None
        if wire is None:
            return
        if how == "left behind":
            self._left_behind.append(wire)
        elif how == "reset":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        else:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
            wire.close()
        self.due = time.monotonic() + back_off(self._attempt)

    def acknowledge(self, now: float) -> None:
        if self._asked_after is not None and self.ear.newest > self._acked and now >= self._ack_at:
            self._acked, self._ack_at = self.ear.newest, now + ACK_AFTER_SECONDS
            self._say(op="ack", seq=self._acked)

    def throw_away(self) -> None:
        self.part()
        for wire in self._left_behind:
            wire.close()

    def _say(self, **op: Any) -> None:
        self._send(Message(data=json.dumps(op)))

    def _send(self, event: Event) -> None:
        assert self.wire is not None
        with suppress(OSError, LocalProtocolError):  # reading will show it
            self.wire.send(self._protocol.send(event))

    def _hear(self, event: Event) -> bool:
        match event:
            case TextMessage():
                self._text += event.data
                if event.message_finished:
                    self._take(json.loads(self._text))
                    self._text = ""
            case Ping():
                self._send(event.response())
            case RejectConnection():
                self.turned_away[event.status_code] += 1
                return False
            case CloseConnection():
                self.turned_away[event.code] += 1
                return False
            case AcceptConnection():
                pass
        return True

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["event"] == "connected":
            self._attempt = 0
            self._live_from = frame["data"]["seq"] + 1
            self._asked_after = self.ear.newest
            if self._live_from <= self._asked_after:
                self.ear.wrong.append(f"greeted with {self._live_from - 1} after {self._asked_after}")
            self._say(op="resume", after=self._asked_after)
        elif "seq" not in frame:
            self.ear.wrong.append(f"unexpected: {frame}")
        else:
            self._check_order(frame["seq"])
            self.ear.take(frame["seq"], Line.of(frame["id"], frame["event"], frame["at"], frame["data"]))

    def _check_order(self, seq: int) -> None:
        """One after the other from where it is live, and once again from where we asked to go on."""
        assert self._asked_after is not None, "a line before the greeting"
        wanted = self._next if self._next is not None else self._live_from
        resumes = seq == self._asked_after + 1 and not self._has_resumed
        if seq != wanted and not resumes:
            self.ear.wrong.append(
                f"{seq} came instead of {wanted} on one connection, resumed after {self._asked_after}"
            )
        self._has_resumed = self._has_resumed or (resumes and seq != wanted)
        self._next = seq + 1


class Crowd:
    """All bare phones in one thread: a thread for each of five hundred would measure threads."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self.failed: Exception | None = None
        self._phones = phones
        self._cuts: SimpleQueue[tuple[Phone, str]] = SimpleQueue()
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._listen, name="the crowd", daemon=True)
        self._thread.start()

    def cut(self, phone: Phone, how: str) -> None:
        self._cuts.put((phone, how))

    def close(self) -> None:
        self._over.set()
        self._thread.join(timeout=10)
        for phone in self._phones:
            phone.throw_away()
        self._selector.close()

    def _listen(self) -> None:
        try:
            tend_at = 0.0
            while not self._over.is_set():
                for key, _ in self._selector.select(timeout=0.05):
                    if not key.data.read():
                        self._hang_up(key.data)
                while not self._cuts.empty():
                    self._hang_up(*self._cuts.get())
                if (now := time.monotonic()) >= tend_at:
                    tend_at = now + 0.1
                    for phone in self._phones:
                        self._tend(phone, now)
        except Exception as problem:
            self.failed = problem

    def _hang_up(self, phone: Phone, how: str = "closed") -> None:
        if phone.wire is not None:
            self._selector.unregister(phone.wire)
        phone.part(how)

    def _tend(self, phone: Phone, now: float) -> None:
        if phone.wire is not None:
            phone.acknowledge(now)
        elif now >= phone.due and (wire := phone.dial()) is not None:
            self._selector.register(wire, selectors.EVENT_READ, phone)


# --- people -----------------------------------------------------------------------------------------------


class Transporter:
    """A fleet of one truck, somewhere within the rings, or just outside."""

    def __init__(self, town: Town, dice: random.Random) -> None:
        self.id, self.driver = uuid4(), uuid4()
        self.ear = Ear()
        self.client = town.client(Role.TRANSPORTER, self.id)
        self.phone: Phone | None = None
        self.channel: Channel | None = None
        self.vehicle = ""
        self._latitude = 28.6 + dice.uniform(0.0, 0.7)  # degrees, of 111 km each

    def sign_on(self) -> None:
        self.vehicle = self.client.register_vehicle(f"HR{self.id.hex[:8]}", "open", "17 Feet")["id"]
        self.client.register_driver(str(self.driver), "A driver", "+91 98100 00000")
        self.client.set_availability(True)
        self.client.heartbeat(self._latitude, 77.2)

    def accept(self, booking: str) -> object:
        return self.client.accept(booking, self.vehicle, str(self.driver))

    def log(self) -> list[Any]:
        """What `GET /events` has."""
        items: list[Any] = []
        while page := self.client.events(after=len(items), limit=500):
            items += page
        return items

    def listed(self) -> set[str]:
        """What `GET /offers` has."""
        return {offer["broadcastId"] for offer in self.client.offers()}


@dataclass(frozen=True)
class Wish:
    """What one customer does, and when: in seconds from the beginning, and from the asking."""

    at: float
    trucks: int
    ending: str
    after: float
    declined_by: int


@dataclass(frozen=True)
class Plan:
    wishes: list[Wish]
    cuts: list[tuple[float, int, str]]
    deaths_of_an_api_process: list[float]
    deaths_of_the_notifier: list[float]
    redis_hangs_at: float

    @classmethod
    def of(cls, dice: random.Random) -> Plan:
        some = max(1, int(PLAY_SECONDS / 60))
        return cls(
            wishes=[
                Wish(
                    at=dice.uniform(0, PLAY_SECONDS),
                    trucks=dice.randint(1, 3),
                    ending=ENDINGS[number % len(ENDINGS)],
                    after=dice.uniform(0.2, 4.0),
                    declined_by=dice.randint(0, 3),
                )
                for number in range(BROADCASTS)
            ],
            cuts=[
                (dice.uniform(0, PLAY_SECONDS + 4), listener, dice.choice(WAYS_TO_PART))
                for listener in range(LISTENERS)
                for _ in range(dice.randint(0, 2 * CUTS_EACH))
            ],
            deaths_of_an_api_process=[dice.uniform(1, PLAY_SECONDS) for _ in range(2 * some)],
            deaths_of_the_notifier=[dice.uniform(1, PLAY_SECONDS) for _ in range(some)],
            redis_hangs_at=dice.uniform(PLAY_SECONDS * 0.2, PLAY_SECONDS * 0.7),
        )


class Town:
    """A running system, its crowd, and what came of the play."""

    def __init__(self, folder: Path) -> None:
        self.system = System(
            folder,
            DATABASE_URL="",
            REDIS_URL="",
            BROADCAST_TIMEOUT_SECONDS="6",
            RADIUS_STEP_SECONDS="1",
            # What is no part of this: all are online for as long as it takes, and nothing is offered again.
            PRESENCE_TTL_SECONDS="3600",
            DRIVER_ACCEPT_SECONDS="86400",
            MAX_OPEN_OFFERS="10000",
        )
        self.postgres, self.valkey = Postgres(folder), Valkey(folder)
        self.engine: Engine = connect(self.postgres.url("weelo"))
        self.http = open_pool(self.system.url, connections=64)
        self.transporters: list[Transporter] = []
        self.crowd: Crowd | None = None
        self.standing: list[str] = []
        self.said: Counter[str] = Counter()
        self.deaths: Counter[str] = Counter()
        # What the server says: lists while some requests were open, and in the end, logs.
        self.listed: list[tuple[Transporter, set[str], set[str]]] = []
        self.logs: list[list[Any]] = []

    def close(self) -> None:
        if self.crowd is not None:
            self.crowd.close()
        for transporter in self.transporters:
            if transporter.channel is not None:
                transporter.channel.close()
        self.http.close()
        self.engine.dispose()
        self.system.stop()
        self.postgres.remove()
        self.valkey.remove()

    def client(self, role: Role, who: UUID) -> WeeloClient:
        bearer = token(role, who, ttl=7200)
        return WeeloClient(self.system.url, bearer, wait=20, retry_for=40, http=self.http)

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters).all())

    # --- the play -----------------------------------------------------------------------------------------

    def gather(self, dice: random.Random) -> None:
        """Everybody signs on and listens."""
        self.transporters = [Transporter(self, dice) for _ in range(LISTENERS)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(Transporter.sign_on, self.transporters))
        for each in self.transporters[:REFERENCE_CLIENTS]:
            each.channel = each.client.listen(after=0, remember=10, on_frame=each.ear.take_frame)
        phones = []
        for each in self.transporters[REFERENCE_CLIENTS:]:
            each.phone = Phone(self.system, each.id, each.ear)
            phones.append(each.phone)
        self.crowd = Crowd(phones)

    def play(self, plan: Plan, dice: random.Random) -> None:
        acts: list[tuple[float, Callable[[], None]]] = [
            *((wish.at, partial(self._wish, wish, random.Random(dice.random()))) for wish in plan.wishes),
            *((at, partial(self._cut, self.transporters[listener], how)) for at, listener, how in plan.cuts),
            *(
                (at, partial(self._kill_an_api_process, dice.random()))
                for at in plan.deaths_of_an_api_process
            ),
            *((at, self._kill_the_notifier) for at in plan.deaths_of_the_notifier),
            (plan.redis_hangs_at, self._break_redis),
        ]
        began = time.monotonic()
        with ThreadPoolExecutor(64) as pool:
            under_way: list[Future[None]] = []
            for at, act in sorted(acts, key=lambda each: each[0]):
                _wait_until(began + at)
                under_way.append(pool.submit(act))
            for each in under_way:
                each.result()

    def _wish(self, wish: Wish, dice: random.Random) -> None:
        """One request from its beginning to its end, or to where its timer ends it."""
        customer = self.client(Role.CUSTOMER, uuid4())
        began = time.monotonic()
        try:
            booking = book(customer, trucks=wish.trucks)["id"]
        except WeeloError as problem:
            self.said[f"not asked: {_why(problem)}"] += 1
            return
        listeners = dice.sample(self.transporters, len(self.transporters))
        unwilling, willing = listeners[: wish.declined_by], listeners[wish.declined_by :]
        for transporter in unwilling:
            self._decline(transporter, booking, by=began + wish.after)
        _wait_until(began + wish.after)
        if wish.ending in ("taken", "taken, then cancelled"):
            self._accept(willing, booking, wish.trucks)
        if wish.ending == "partly taken":
            self._accept(willing, booking, max(1, wish.trucks - 1))
        if wish.ending in ("cancelled", "taken, then cancelled"):
            self._did("cancel", partial(customer.cancel_booking, booking))

    def _accept(self, willing: Sequence[Transporter], booking: str, trucks: int) -> None:
        """Of those who have it on their list, as many as it takes say yes."""
        for transporter in [each for each in willing if booking in each.ear.offers][: 2 * trucks]:
            if trucks and self._did("accept", partial(transporter.accept, booking)):
                trucks -= 1

    def _decline(self, transporter: Transporter, booking: str, *, by: float) -> None:
        with suppress(AssertionError):  # not everybody is near enough, and told in time
            eventually(lambda: booking in transporter.ear.offers, within=by - time.monotonic())
            self._did("decline", partial(transporter.client.decline, booking))

    def _did(self, what: str, command: Callable[[], object]) -> bool:
        """Whether it was done. It may come too late and be refused: no matter here."""
        try:
            command()
        except WeeloError as problem:
            self.said[f"no {what}: {_why(problem)}"] += 1
            return False
        self.said[what] += 1
        return True

    def _cut(self, transporter: Transporter, how: str) -> None:
        if transporter.phone is not None and self.crowd is not None:
            self.crowd.cut(transporter.phone, how)
        elif transporter.channel is not None:
            line = transporter.channel._line
            with suppress(OSError, AttributeError):  # it may be cut off already
                line.sock.shutdown(socket.SHUT_RDWR)

    def _kill_an_api_process(self, which: float) -> None:
        processes = eventually(self.system.api_processes, within=20)
        with suppress(ProcessLookupError):
            os.kill(processes[int(which * len(processes))], signal.SIGKILL)
            self.deaths["an API process"] += 1

    def _kill_the_notifier(self) -> None:
        eventually(partial(self.system.pids, "notifications"), within=20)
        self.system.kill("notifications")
        self.deaths["the notifier"] += 1

    def _break_redis(self) -> None:
        """It takes connections and answers nobody; then it is dead; then it is back with what it had on disk."""
        with self._redis_hanging():
            _wait_until(time.monotonic() + HANGING_SECONDS)
            self.valkey.kill()
            self.deaths["Redis"] += 1

    @contextmanager
    def _redis_hanging(self) -> Iterator[None]:
        running = self.valkey.pid()
        assert running
        os.kill(running, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(running, signal.SIGCONT)

    # --- and afterwards -----------------------------------------------------------------------------------

    def compare(self, dice: random.Random) -> None:
        """Ask the server what it has: lists while some requests are open, logs when all are over."""
        self.be_quiet()
        customers = [self.client(Role.CUSTOMER, uuid4()) for _ in range(STANDING)]
        for customer in customers:
            self.standing.append(book(customer, trucks=3)["id"])
            # Else they might be over before all lists have been looked at. It is what happens to a request whose
            # truck is lost: the timer finds a later deadline.
            with self.engine.begin() as connection:
                later = "UPDATE broadcasts SET expires_at = expires_at + interval '1 hour' WHERE id = :id"
                connection.execute(text(later), {"id": self.standing[-1]})
        for booking in self.standing:
            listeners = dice.sample(self.transporters, len(self.transporters))
            eventually(lambda: any(booking in each.ear.offers for each in listeners), within=QUIET_WITHIN)  # noqa: B023
            self._accept(listeners, booking, 1)
            for transporter in listeners[:3]:
                self._decline(transporter, booking, by=time.monotonic() + 2)
        self._compare_lists()
        # What is told last has no later news after it, from which one could see that something is missing.
        with self._redis_hanging():
            with ThreadPoolExecutor(STANDING) as pool:
                list(pool.map(WeeloClient.cancel_booking, customers, self.standing))
            self.standing = []
            self.be_quiet()
        self._compare_lists()
        with ThreadPoolExecutor(8) as pool:
            self.logs = list(pool.map(Transporter.log, self.transporters))

    def _compare_lists(self) -> None:
        self.be_quiet()
        with ThreadPoolExecutor(8) as pool:
            listed = list(pool.map(Transporter.listed, self.transporters))
        for each, theirs in zip(self.transporters, listed, strict=True):
            self.listed.append((each, set(each.ear.offers), theirs))

    def be_quiet(self) -> None:
        """Until all is over but what stands, all that is due is done, and all that was told is heard."""

        def over() -> bool:
            others = "SELECT DISTINCT status FROM broadcasts WHERE id <> ALL(CAST(:ids AS uuid[]))"
            return {row.status for row in self.rows(others, ids=self.standing)} <= set(WITHDRAWALS)

        def done() -> bool:
            return not self.rows(
                "SELECT 1 FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL"
                " AND (due_at <= clock_timestamp() OR name = 'broadcasts.widen') LIMIT 1"
            )

        def heard() -> bool:
            newest = {row.user_id: row.seq for row in self.rows("SELECT user_id, seq FROM log_heads")}
            behind = [each.ear for each in self.transporters if each.ear.newest < newest[each.id]]
            assert not behind, f"{len(behind)} wait for lines; {[ear.wrong for ear in behind if ear.wrong]}"
            return True

        for condition in (over, done, heard):
            eventually(condition, within=QUIET_WITHIN, every=0.2)

    def summary(self) -> str:
        ears = [each.ear for each in self.transporters]
        phones = [each.phone for each in self.transporters if each.phone is not None]
        reconnects = sum(each.channel.reconnects for each in self.transporters if each.channel is not None)
        ended = self.rows(
            "SELECT status, end_reason, count(*) AS n FROM broadcasts GROUP BY 1, 2 ORDER BY 1, 2"
        )
        turned_away = sum((phone.turned_away for phone in phones), Counter[int]())
        return f"""\
{len(ears)} listeners, {sum(row.n for row in ended)} broadcasts
lines: {sum(ear.newest for ear in ears)} heard, {sum(ear.repeated for ear in ears)} repeated
connections: {sum(phone.connections for phone in phones)} of {len(phones)} bare phones, turned away {dict(turned_away)};
  {reconnects} returns of {REFERENCE_CLIENTS} reference clients
killed: {dict(self.deaths)}
done: {dict(self.said)}
ended: {[tuple(row) for row in ended]}"""


def _why(problem: WeeloError) -> str:
    return problem.code if isinstance(problem, Refused) else type(problem).__name__


def _wait_until(moment: float) -> None:
    """What the plan says when."""
    time.sleep(max(0.0, moment - time.monotonic()))


# --- what must be true ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """As it is when everything has been played and broken, and all is quiet again."""
    print(f"WEELO_SEED={SEED} WEELO_LISTENERS={LISTENERS} WEELO_BROADCASTS={BROADCASTS}")  # noqa: T201 (how to play it again)
    dice = random.Random(SEED)
    town = Town(tmp_path_factory.mktemp("missed nothing") / "data")
    try:
        town.gather(dice)
        town.play(Plan.of(dice), dice)
        town.compare(dice)
        yield town
    finally:
        if town.transporters:
            print(town.summary())  # noqa: T201 (what came of it)
        town.close()


def test_SOCK_01_every_phone_has_heard_its_whole_log_in_order_and_nothing_else(town: Town) -> None:
    assert town.crowd is not None and town.crowd.failed is None
    for each, log in zip(town.transporters, town.logs, strict=True):
        assert [line["seq"] for line in log] == list(range(1, len(log) + 1))
        theirs = [Line.of(line["id"], line["event"], line["at"], line["data"]) for line in log]
        assert each.ear.lines == theirs


def test_SOCK_01_on_no_connection_a_line_was_left_out_or_came_twice_or_in_two_versions(town: Town) -> None:
    assert [wrong for each in town.transporters for wrong in each.ear.wrong] == []


def test_CNCL_03_a_list_made_of_frames_alone_is_the_servers_list(town: Town) -> None:
    assert any(ours for _, ours, _ in town.listed), "no list was compared while something was on it"
    assert [each for each in town.listed if each[1] != each[2]] == []


def test_BCAST_05_everybody_who_was_notified_has_had_each_withdrawal_once(town: Town) -> None:
    ears = {each.id: each.ear for each in town.transporters}
    offered = town.rows(
        "SELECT o.transporter_id, o.broadcast_id, b.status FROM offers o JOIN broadcasts b ON b.id = o.broadcast_id"
    )
    assert offered
    for row in offered:
        heard = ears[row.transporter_id].withdrawn[str(row.broadcast_id)]
        # A filled one may have been cancelled afterwards: then both have been heard, in this order.
        assert heard[-1:] == [WITHDRAWALS[row.status]] and len(heard) == len(set(heard)), (row, heard)


def test_nobody_was_turned_away_for_good_and_the_doctor_finds_nothing(town: Town) -> None:
    assert all(town.deaths[who] for who in ("an API process", "the notifier", "Redis"))
    phones = [each.phone for each in town.transporters if each.phone is not None]
    assert not [phone.turned_away for phone in phones if phone.turned_away.keys() & FINAL_CODES]
    eventually(lambda: not doctor(town.system), within=60)  # workers report to Redis every few seconds

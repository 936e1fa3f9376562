"""All people of a fault test, their threads, and the HTTP client that records all responses in the ledger."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from tests.faults.ledger import Answer, Ledger, LedgerEntry
from tests.faults.people import (
    OPEN_TRUCK,
    SMALL_TRUCK,
    Customer,
    Driver,
    Operator,
    Person,
    Transporter,
)
from weelo_client.connection import back_off

HANDS = 24
ANSWER_SECONDS = 8.0
PATIENCE_SECONDS = 25.0
WAIT_SECONDS = 4
LONG_SECONDS = 10.0


class Population:
    def __init__(self, url: str, seed: int, *, customers: int = 7, transporters: int = 8) -> None:
        self.url = url
        self.ledger = Ledger()
        self.over = False
        self.obliging = False
        """Whether all drivers accept. It is set towards the end, because a declined slot is offered for another minute."""
        dice = random.Random(seed)
        self.customers = [Customer(self, random.Random(dice.random())) for _ in range(customers)]
        self.transporters = [
            Transporter(
                self, random.Random(dice.random()), [OPEN_TRUCK, SMALL_TRUCK if n % 2 else OPEN_TRUCK]
            )
            for n in range(transporters)
        ]
        self.drivers: list[Driver] = [driver for each in self.transporters for driver in each.drivers]
        self.operator = Operator(self, random.Random(dice.random()))
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self._http = httpx.Client(base_url=f"{url}/api/v1", limits=limits, trust_env=False)
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="hands")
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._news = threading.Condition()
        self._clock = threading.Thread(target=self._run, name="town clock", daemon=True)
        self._clock.start()

    @property
    def people(self) -> list[Person]:
        return [*self.customers, *self.transporters, *self.drivers, self.operator]

    # --- beginning and end --------------------------------------------------------------------------------

    def gather(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Transporter.signs_on, self.transporters))
            list(pool.map(Person.listen, self.people))

    def begin(self) -> None:
        for person in self.people:
            self.later(person.dice.uniform(0.0, 2.0), partial(self._live, person))

    def end(self, *, all_of_it: bool) -> None:
        """Stop new actions and wait for the running ones.

        Some customers cancel their open request, the others let it expire. `all_of_it`: cancel every request that would
        stay open for more than LONG_SECONDS.
        """
        self.over = True
        with self._news:
            self._due.clear()
        self._hands.shutdown(wait=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: self._close_up(each, all_of_it), self.customers))

    def close(self) -> None:
        self.over = True
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Person.hang_up, self.people))
        self._hands.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def _close_up(self, customer: Customer, all_of_it: bool) -> None:
        try:
            current = self.read(customer, "/broadcasts/current")
        except RuntimeError as silence:
            self.ledger.spoiled.append(str(silence))
            return
        if current is None:
            return
        customer.current = {**current, "broadcastId": current["id"]}
        left = datetime.fromisoformat(current["expiresAt"]).timestamp() - time.time()
        if (all_of_it and left > LONG_SECONDS) or customer.dice.random() < 0.3:
            customer.cancels()

    # --- acting -------------------------------------------------------------------------------------------

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        with self._news:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), act))
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._due or self._due[0][0] > time.monotonic():
                    pause = self._due[0][0] - time.monotonic() if self._due else 1.0
                    self._news.wait(pause)
                    if self.over:
                        return
                act = heapq.heappop(self._due)[2]
            with suppress(RuntimeError):  # raised if `end` has shut the pool down
                self._hands.submit(self._act, act)

    def _act(self, act: Callable[[], object]) -> None:
        if self.over:
            return
        try:
            act()
        except Exception as problem:
            self.ledger.spoiled.append(repr(problem))

    def _live(self, person: Person) -> None:
        pause = 3.0
        try:
            pause = person.act_once()
        finally:
            if not self.over:
                self.later(pause, lambda: self._live(person))

    # --- HTTP -----------------------------------------------------------------------------------------

    def send(
        self,
        sender: Person,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        key: str,
        *,
        waits: bool,
        patient: bool,
    ) -> Answer:
        """Send a command and return the last response.

        If `patient`, repeat a refused or unanswered command with the same key for up to PATIENCE_SECONDS.
        """
        entry = self.ledger.open(sender.id, sender.role, f"{method} {path}", key)
        until = time.monotonic() + (PATIENCE_SECONDS if patient else 0.0)
        attempt = 0
        while True:
            answer = self._once(entry, method, path, body, sender, waits=waits)
            entry.answers.append(answer)
            attempt += 1
            if answer.recorded or answer.status not in (0, 429, 500, 503) or time.monotonic() > until:
                return answer
            time.sleep(back_off(attempt))

    def _once(
        self,
        entry: LedgerEntry,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        sender: Person,
        *,
        waits: bool,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {sender.bearer}", "Idempotency-Key": entry.key}
        if waits:
            headers["Prefer"] = f"wait={WAIT_SECONDS}"
        try:
            response = self._http.request(
                method, path, json=body, headers=headers, timeout=httpx.Timeout(ANSWER_SECONDS, connect=2.0)
            )
        except httpx.HTTPError:
            return Answer(time.time(), 0)
        return Answer(time.time(), response.status_code, _json(response), "Location" in response.headers)

    def read(self, sender: Person, path: str, patience: float = PATIENCE_SECONDS) -> Any:
        """Return the JSON at this path, None for 404. Raises RuntimeError after `patience` seconds without answer."""
        until = time.monotonic() + patience
        while True:
            with suppress(httpx.HTTPError):
                response = self._http.get(
                    path, headers={"Authorization": f"Bearer {sender.bearer}"}, timeout=10.0
                )
                if response.status_code in (200, 404):
                    return response.json() if response.status_code == 200 else None
            if time.monotonic() > until:
                raise RuntimeError(f"no answer from {path}")
            time.sleep(0.3)

    def heartbeat(self, transporter: Transporter) -> None:
        here = {"latitude": transporter.latitude, "longitude": 77.21}
        with suppress(httpx.HTTPError):
            self._http.post(
                "/transporter/heartbeat",
                json=here,
                headers={"Authorization": f"Bearer {transporter.bearer}"},
                timeout=5.0,
            )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text[:200]

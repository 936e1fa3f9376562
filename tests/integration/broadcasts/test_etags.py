"""A broadcast's ETag changes with everything that a reader sees. A request with the present ETag is answered with 304."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from tests.support.api_process import Api
from tests.support.raw_http import exchange
from tests.support.tokens import token
from tests.support.world import World
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries import broadcasts


def seen(world: World, broadcast: UUID, reader: Caller) -> tuple[str, str] | None:
    """Return the ETag of this reader's view, and the view as text without `serverTime`."""
    with Session(world.engine) as session:
        found = broadcasts.find(session, broadcast, reader)
    if found is None:
        return None
    assert found.view is not None
    del found.view["serverTime"]
    return found.tag, json.dumps(found.view)


def test_a_tag_is_of_one_view_of_one_reader(world: World) -> None:
    """Change a broadcast in every way, and compare the views of all readers after each step."""
    first, second = world.fleet(km_north=1), world.fleet(km_north=2)
    customer = uuid4()
    booked = world.book(customer, 2)
    broadcast = UUID(booked.result["id"])
    readers = {
        "customer": Caller(customer, Role.CUSTOMER),
        "admin": Caller(uuid4(), Role.ADMIN),
        "another admin": Caller(uuid4(), Role.ADMIN),
        "first": Caller(first.id, Role.TRANSPORTER),
        "second": Caller(second.id, Role.TRANSPORTER),
        "driver": Caller(first.trucks[0].driver_id, Role.DRIVER),
    }
    views: dict[str, tuple[str, str]] = {}
    changes: dict[str, list[str]] = {name: [] for name in readers}

    def look(step: str) -> None:
        for name, reader in readers.items():
            now = seen(world, broadcast, reader)
            assert now == seen(world, broadcast, reader), "nothing has changed"
            if now is None:
                continue
            tag, view = now
            assert views.setdefault(tag, (name, view)) == (name, view), f"{step}: {name}"
            if not changes[name] or changes[name][-1] != view:
                changes[name].append(view)

    look("booked")
    world.drain()
    look("offered")
    hold = world.hold(first, broadcast).result
    look("held")
    world.release_hold(first, hold["holdId"])
    look("released")
    world.accept(first, broadcast)
    look("accepted")
    [assignment] = world.assignments(broadcast)
    world.answer(assignment, yes=True)
    world.drain()
    look("the driver accepted")
    world.accept(second, broadcast)
    look("filled")
    world.report(assignment, "en_route_pickup")
    look("under way")
    world.give_back(assignment)
    world.drain()
    look("given back")
    world.tick(3600)
    look("later")
    assert all(len(changes[name]) >= 8 for name in ("customer", "admin", "first", "second")), changes
    assert len(changes["driver"]) >= 3


def test_a_tag_is_of_contents_and_not_of_where_rows_lie(world: World) -> None:
    """A restored dump, a replica and a rewritten table have equal rows with another xmin and ctid. The tag stays equal."""
    broadcast, fleet = world.won(2)
    reader = Caller(fleet.id, Role.TRANSPORTER)
    before = seen(world, broadcast, reader)
    with world.engine.begin() as connection:
        for table in ("broadcasts", "truck_requests", "assignments"):
            connection.exec_driver_sql(f"UPDATE {table} SET status = status")
    assert seen(world, broadcast, reader) == before


def test_a_known_tag_costs_one_statement(world: World) -> None:
    broadcast, _ = world.won(2)
    reader = Caller(world.customer_of(broadcast), Role.CUSTOMER)
    sent: list[Any] = []

    def note(*args: Any) -> None:
        sent.append(args[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with Session(world.engine) as session:
            found = broadcasts.find(session, broadcast, reader)
            assert found is not None and len(sent) == 4
            known = broadcasts.find(session, broadcast, reader, is_known=lambda tag: tag == found.tag)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert known == broadcasts.TaggedView(found.tag, None) and len(sent) == 5


# --- over HTTP ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


def client(api: Api, role: Role, user_id: UUID) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token(role, user_id)}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{api.port}/api/v1", headers=headers)


@pytest.mark.parametrize("collection", ["bookings", "broadcasts"])
def test_a_client_that_has_the_answer_gets_304_until_it_changes(
    world: World, api: Api, collection: str
) -> None:
    broadcast = world.broadcast(2)
    path = f"/{collection}/{broadcast}"
    with client(api, Role.CUSTOMER, world.customer_of(broadcast)) as customer:
        first = customer.get(path)
        tag = first.headers["ETag"]
        assert first.status_code == 200 and tag.startswith('W/"') and len(tag) == 36
        assert first.headers["Cache-Control"] == "private, no-cache"
        for sent in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            known = customer.get(path, headers={"If-None-Match": sent})
            assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", tag)
            assert known.headers["Cache-Control"] == "private, no-cache"
            assert known.headers["Vary"] == "Accept-Encoding" and "Content-Type" not in known.headers
        for sent in ('"other"', 'W/"other"', "", tag[2:-1].upper(), "nonsense"):
            assert customer.get(path, headers={"If-None-Match": sent}).status_code == 200
        world.cancel(broadcast)
        changed = customer.get(path, headers={"If-None-Match": tag})
        assert (changed.status_code, changed.json()["status"]) == (200, "cancelled")
        assert changed.headers["ETag"] != tag


def test_an_order_has_a_tag_too(world: World, api: Api) -> None:
    customer = uuid4()
    order = world.order(customer, ("17 Feet", 1), ("19 Feet", 2)).result["id"]
    with client(api, Role.CUSTOMER, customer) as asking:
        tag = asking.get(f"/orders/{order}").headers["ETag"]
        assert asking.get(f"/orders/{order}", headers={"If-None-Match": tag}).status_code == 304
        assert asking.get(f"/bookings/{order}", headers={"If-None-Match": tag}).status_code == 404


def test_a_tag_reveals_nothing_to_another_reader(world: World, api: Api) -> None:
    broadcast, fleet = world.won(2)
    path = f"/broadcasts/{broadcast}"
    with client(api, Role.CUSTOMER, world.customer_of(broadcast)) as customer:
        tag = customer.get(path).headers["ETag"]
    with client(api, Role.TRANSPORTER, fleet.id) as transporter:
        assert transporter.get(path, headers={"If-None-Match": tag}).status_code == 200
    with client(api, Role.CUSTOMER, uuid4()) as stranger:
        for sent in (tag, "*"):
            answer = stranger.get(path, headers={"If-None-Match": sent})
            assert answer.status_code == 404 and "ETag" not in answer.headers
            assert answer.headers["Cache-Control"] == "no-store"


def test_a_304_ends_after_its_head(world: World, api: Api) -> None:
    """The next request on the same connection is answered, so no byte of a body was sent."""
    broadcast = world.broadcast(1)
    bearer = token("customer", world.customer_of(broadcast))
    head = f"GET /api/v1/bookings/{broadcast} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n"
    twice = f"{head}If-None-Match: *\r\n\r\n{head}If-None-Match: *\r\nConnection: close\r\n\r\n"
    assert [answer.status for answer in exchange(api.port, twice.encode())] == [304, 304]

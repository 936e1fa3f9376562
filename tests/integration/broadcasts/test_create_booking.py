"""Creating bookings: one open broadcast per customer, and a double tap creates only one."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.support.world import World, place
from weelo_workers.contracts.broadcasts import CreateBooking


def test_BCAST_01_a_booking_goes_from_created_over_broadcasting_to_active(world: World) -> None:
    world.fleet()
    customer = uuid4()
    outcome = world.book(customer)
    assert outcome.http_status == 201
    assert outcome.result["status"] == "active"
    assert outcome.result["transportersNotified"] == 1
    world.drain()

    states = [frame["status"] for frame in world.events_of(customer, "broadcast_state_changed")]
    assert states == ["created", "broadcasting", "active"]


def test_BCAST_02_every_transition_is_kept_with_its_time_and_its_cause(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.cancel(broadcast)

    rows = world.rows(
        "SELECT from_status, to_status, version, at, cause FROM transitions"
        " WHERE broadcast_id = :id AND subject = 'broadcast' ORDER BY id",
        id=broadcast,
    )
    assert [(row.from_status, row.to_status) for row in rows] == [
        (None, "created"),
        ("created", "broadcasting"),
        ("broadcasting", "active"),
        ("active", "fully_filled"),
        ("fully_filled", "cancelled"),
    ]
    assert [row.version for row in rows] == [1, 2, 3, 4, 5]
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert [row.cause for row in rows] == [
        "broadcasts.create_booking", "broadcasts.create_booking", "broadcasts.create_booking", "offers.accept", "broadcasts.cancel",
    ]  # fmt: skip
    assert rows[-1].at == world.value("SELECT state_changed_at FROM broadcasts WHERE id = :id", id=broadcast)


def test_BCAST_03_the_customer_hears_every_transition_once(world: World) -> None:
    fleets = [world.fleet() for _ in range(2)]
    customer = uuid4()
    broadcast = world.broadcast(2, customer=customer)
    for fleet in fleets:
        world.accept(fleet, broadcast)
    world.drain()

    versions = [frame["version"] for frame in world.events_of(customer, "broadcast_state_changed")]
    assert versions == list(
        range(1, world.value("SELECT version FROM broadcasts WHERE id = :id", id=broadcast) + 1)
    )


def test_CUST_01_02_a_second_wish_is_refused_and_names_the_first(world: World) -> None:
    customer = uuid4()
    first = world.book(customer, 1)
    second = world.book(customer, 2)

    assert second.http_status == 409
    assert second.error is not None
    assert second.error["code"] == "ORDER_ACTIVE_EXISTS"
    assert second.error["detail"] == "Request already in progress. Cancel it first."
    assert second.error["activeBroadcastId"] == first.result["id"]


def test_CUST_03_customers_never_block_one_another(world: World) -> None:
    customers = [uuid4() for _ in range(12)]
    outcomes = world.race(*[lambda customer=customer: world.book(customer) for customer in customers])
    assert {outcome.http_status for outcome in outcomes} == {201}


def test_CUST_04_after_cancelled_expired_or_filled_the_customer_may_ask_again_at_once(world: World) -> None:
    customer = uuid4()
    cancelled = world.broadcast(1, customer=customer)
    world.cancel(cancelled)
    expired = world.broadcast(1, customer=customer)
    world.tick(130)
    assert world.status(expired) == "expired"
    fleet = world.fleet()
    filled = world.broadcast(1, customer=customer)
    world.accept(fleet, filled)
    assert world.status(filled) == "fully_filled"
    assert world.book(customer).http_status == 201


def test_IDEM_01_03_a_double_tap_without_a_key_creates_one_broadcast_and_is_answered_with_it(
    world: World,
) -> None:
    customer = uuid4()
    outcomes = world.race(*[lambda: world.book(customer) for _ in range(2)])

    assert {outcome.http_status for outcome in outcomes} == {201}
    assert len({outcome.result["id"] for outcome in outcomes}) == 1
    assert sorted(outcome.replayed for outcome in outcomes) == [False, True]
    assert world.value("SELECT count(*) FROM broadcasts") == 1


def test_two_keys_are_two_wishes_even_if_they_read_alike(world: World) -> None:
    customer = uuid4()
    assert world.book(customer, keyed=True).http_status == 201
    assert world.book(customer, keyed=True).error["code"] == "ORDER_ACTIVE_EXISTS"


def test_CUST_01_twelve_concurrent_wishes_of_one_customer_open_one_broadcast(world: World) -> None:
    customer = uuid4()
    outcomes = world.race(*[lambda trucks=trucks: world.book(customer, trucks) for trucks in range(1, 13)])

    assert sorted(outcome.http_status for outcome in outcomes) == [201] + [409] * 11
    assert world.value("SELECT count(*) FROM broadcasts") == 1


def test_TMOT_01_the_deadline_is_the_one_setting(world: World) -> None:
    result = world.book(uuid4()).result
    row = world.rows(
        "SELECT expires_at - created_at AS lives FROM broadcasts WHERE id = :id", id=UUID(result["id"])
    )[0]
    assert row.lives.total_seconds() == 120


def test_what_was_asked_is_what_is_shown(world: World) -> None:
    outcome = world.book(
        uuid4(), 3, at=place(5), goods_type="Cement", price_per_truck=12_000, distance_km=201.5
    )
    result = outcome.result
    assert (result["goodsType"], result["distanceKm"], result["trucksNeeded"]) == ("Cement", 201.5, 3)
    assert result["pickup"]["address"] == "5 km north"
    assert [slot["requestNumber"] for slot in result["truckRequests"]] == [1, 2, 3]
    assert {slot["pricePerTruck"] for slot in result["truckRequests"]} == {12_000}
    assert result["bookingId"] == result["id"] and "orderId" not in result


def test_an_older_payload_without_newer_fields_is_still_understood(world: World) -> None:
    command = world.booking(uuid4())
    payload = command.model_dump(mode="json")
    del payload["keyed"]
    assert CreateBooking.model_validate({**payload, "from_the_future": 1}, strict=False) == command

"""Every command is sent, every event is published, and every code has the status that docs/contract.md gives."""

from __future__ import annotations

import ast

import pytest

from tests.support.sources import DOMAINS, calls, import_all_contracts, name_of, python_files, syntax
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.event import AboutBroadcast, Event
from weelo_workers.contracts.queues import FLEET, OFFERS, QUEUES, TIMERS
from weelo_workers.contracts.recipients import Recipients
from weelo_workers.contracts.rejections import Code
from weelo_workers.notifications.catalog import CATALOG

import_all_contracts()

# CONTRACT section 5. `location_updated` is not logged for any user, so it is not in the catalog.
WIRE_NAMES = {
    "webhook_disabled",
    "command_settled",
    "broadcast_state_changed",
    "new_broadcast",
    "offer_withdrawn",
    "truck_confirmed",
    "trucks_remaining_update",
    "booking_fully_filled",
    "booking_cancelled",
    "booking_expired",
    "booking_completed",
    "no_vehicles_available",
    "trip_assigned",
    "trip_cancelled",
    "truck_lost",
    "pickup_reminder",
    "assignment_stalled",
    "assignment_status_changed",
    "driver_timeout",
    "hold_expired",
    "driver_status_changed",
    "availability_changed",
}

# The codes in CONTRACT section 3.
CODES = {
    400: {"VALIDATION_ERROR"},
    401: {"UNAUTHORIZED", "TOKEN_EXPIRED"},
    403: {"FORBIDDEN", "DRIVER_NOT_IN_FLEET", "VEHICLE_NOT_IN_FLEET"},
    404: {
        "NOT_FOUND",
        "BOOKING_NOT_FOUND",
        "ORDER_NOT_FOUND",
        "BROADCAST_NOT_FOUND",
        "TRUCK_REQUEST_NOT_FOUND",
        "ASSIGNMENT_NOT_FOUND",
        "HOLD_NOT_FOUND",
        "TRANSPORTER_NOT_FOUND",
        "WEBHOOK_NOT_FOUND",
        "POLICY_NOT_FOUND",
    },
    409: {
        "ORDER_ACTIVE_EXISTS",
        "REQUEST_ALREADY_TAKEN",
        "BROADCAST_FILLED",
        "BROADCAST_CANCELLED",
        "BROADCAST_EXPIRED",
        "BOOKING_CANNOT_CANCEL",
        "DRIVER_BUSY",
        "VEHICLE_BUSY",
        "VEHICLE_TYPE_MISMATCH",
        "NOT_ENOUGH_AVAILABLE",
        "HOLD_EXPIRED",
        "ASSIGNMENT_EXPIRED",
        "DRIVER_REPLACED",
        "BLOCKED",
        "SLOT_GIVEN_BACK",
        "TOO_EARLY",
        "INVALID_TRANSITION",
        "TRANSPORTER_SILENT",
        "WEBHOOK_LIMIT",
        "VEHICLE_EXISTS",
        "DRIVER_EXISTS",
    },
    422: {"IDEMPOTENCY_CONFLICT", "NOT_SERVED"},
    429: {"RATE_LIMITED", "TOGGLE_RATE_LIMITED"},
    503: {"SERVICE_UNAVAILABLE", "AREA_PAUSED", "ACCEPT_RETRY_EXHAUSTED"},
}
# Codes of HTTP errors and of internal errors. No command is rejected with them.
CODES_OF_HTTP = {
    405: {"METHOD_NOT_ALLOWED"},
    413: {"PAYLOAD_TOO_LARGE"},
    415: {"UNSUPPORTED_MEDIA_TYPE"},
    500: {"INTERNAL_ERROR"},
}

SENT_BY_EARLIER_VERSIONS = {"notifications.deliver"}
SENT_BY_THE_COMMAND_LINE = {"person.erase"}


def _built_in(*folders: str) -> set[str]:
    """Return the names of all classes and functions that are called in these folders."""
    return {name_of(call.func) for path in python_files(*folders) for call in calls(path)}


SUBMITTED_BY_THE_API = {
    name for name, command in REGISTRY.items() if command.__name__ in _built_in("weelo_api/views")
}
SENT_BY_HANDLERS = {
    name
    for name, command in REGISTRY.items()
    if command.__name__
    in _built_in(
        *(f"weelo_workers/{domain}" for domain in DOMAINS),
        "weelo_workers/broadcast_transitions.py",
        "weelo_workers/presence_sync.py",
    )
}


# --- commands -------------------------------------------------------------------------------------------


def test_every_command_is_submitted_by_the_api_or_sent_by_a_verb() -> None:
    assert set(REGISTRY) == (
        SUBMITTED_BY_THE_API | SENT_BY_HANDLERS | SENT_BY_EARLIER_VERSIONS | SENT_BY_THE_COMMAND_LINE
    )


def test_a_timer_is_sent_by_a_verb_and_never_by_a_client() -> None:
    timers = {name for name, command in REGISTRY.items() if command.queue == TIMERS}
    assert timers <= SENT_BY_HANDLERS
    assert not timers & SUBMITTED_BY_THE_API


# These commands use the queue of another domain. Those of the domain `broadcasts` offer old requests: on the queue
# `broadcasts` they would delay new bookings.
ON_ANOTHER_QUEUE = {
    "broadcasts.offer_late": FLEET,
    "broadcasts.backfill": FLEET,
    "broadcasts.offer_passed_over": FLEET,
    # This command is sent too seldom for a queue of its own.
    "person.erase": FLEET,
    # The commands of relations decide which transporters may get offers. They are sent too seldom for a queue of their
    # own.
    **dict.fromkeys((name for name in REGISTRY if name.startswith("relations.")), OFFERS),
    # The commands of policies are sent too seldom for a queue of their own.
    "policies.put": FLEET,
    "policies.pause": FLEET,
}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_command_travels_on_its_domain_or_as_a_timer(name: str) -> None:
    domain = name.partition(".")[0]
    assert domain in DOMAINS
    assert REGISTRY[name].queue in {ON_ANOTHER_QUEUE.get(name, domain), TIMERS} & set(QUEUES)


# --- events ---------------------------------------------------------------------------------------------


def test_every_event_is_in_the_catalog_and_the_reverse() -> None:
    assert set(CATALOG) == set(Event.REGISTRY.values())


def test_the_catalog_has_the_contracts_names_and_each_once() -> None:
    names = [entry.name for entry in CATALOG.values()]
    assert len(set(names)) == len(names)
    assert set(names) == WIRE_NAMES


def test_every_event_happens_somewhere() -> None:
    published = _built_in("weelo_workers")
    assert {event.__name__ for event in CATALOG} <= published


def test_every_event_is_published_with_the_recipients_that_it_declares() -> None:
    """`publish` checks recipients only when a handler calls it. This test finds wrong recipients in the source."""
    for path in python_files("weelo_workers"):
        for call in calls(path):
            event = name_of(call.args[0].func) if call.args and isinstance(call.args[0], ast.Call) else ""
            if name_of(call.func) == "publish" and event in Event.REGISTRY:
                named = Event.REGISTRY[event].recipients is not Recipients
                assert len(call.args) == 1 + named, f"{path}:{call.lineno}"


def test_every_event_says_whom_it_is_for_or_is_silent_on_purpose() -> None:
    assert {event.__name__ for event, entry in CATALOG.items() if not entry.audiences} == set()


def test_every_event_that_is_pushed_is_about_a_broadcast() -> None:
    """A push needs the id of a broadcast as its collapse key. Pushes with the same id are sent in order."""
    pushed = [event for event, entry in CATALOG.items() if entry.pushed]
    assert [event.__name__ for event in pushed if not issubclass(event, AboutBroadcast)] == []


def test_every_event_that_is_pushed_has_a_test_of_its_push() -> None:
    words = {
        node.value
        for path in python_files("tests/push")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    untested = {entry.name for entry in CATALOG.values() if entry.pushed} - words
    assert not untested, f"no test in tests/push names {sorted(untested)}"


# --- refusals -------------------------------------------------------------------------------------------


def test_every_code_of_the_contract_exists_with_its_status_and_there_is_no_other() -> None:
    by_status: dict[int, set[str]] = {}
    for code in Code:
        by_status.setdefault(code.http_status, set()).add(code.name)
    assert by_status == CODES | CODES_OF_HTTP


@pytest.mark.parametrize("code", Code, ids=lambda code: code.name)
def test_a_code_has_a_title_and_what_may_pass_is_retryable(code: Code) -> None:
    assert code.title
    assert len(code.title) <= 60
    assert code.retryable == (code.http_status in (429, 500, 503))


def test_every_code_is_a_member_of_its_own() -> None:
    """Two codes with the same status, title and retryability would be one member, because an Enum merges equal members."""
    assert len(Code) == len(Code.__members__)

"""docs/contract.md and the code agree, in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import click
import pytest
from pydantic import BaseModel

from tests.architecture.api import OFF_THE_PREFIX, PREFIX, app, operations
from tests.support.sources import ROOT, import_all_contracts, is_of_the_sandbox
from weelo_api.views import common, notifications
from weelo_api.websocket import messages
from weelo_workers import cli
from weelo_workers.contracts import (
    admin,
    broadcasts,
    fleet,
    market,
    offers,
    outcomes,
    policies,
    reasons,
    relations,
    trips,
    vehicle_kinds,
    webhooks,
    wire,
)
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import Wire
from weelo_workers.notifications.catalog import CATALOG
from weelo_workers.settings import Settings

import_all_contracts()

# --- the page -------------------------------------------------------------------------------------------

Row = list[str]


@lru_cache
def page() -> str:
    return (ROOT / "docs" / "contract.md").read_text()


def tables() -> Iterator[list[Row]]:
    """Yield each table of docs/contract.md as its rows, headings first."""
    rows: list[Row] = []
    for line in [*page().splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not all(re.fullmatch(r"-+", cell) for cell in cells):
                rows.append(cells)
        elif rows:
            yield rows
            rows = []


def table(*headings: str) -> list[Row]:
    """Return the rows of all tables in docs/contract.md whose first headings are these."""
    found = [rows for rows in tables() if tuple(rows[0][: len(headings)]) == headings]
    assert found, f"docs/contract.md has no table with the headings {headings}"
    return [row for rows in found for row in rows[1:]]


@dataclass(frozen=True)
class Field:
    """A field of JSON. `optional`: whether it may be absent or null. `shape`: the name of its type, if that is a shape.

    `many`: whether the field is a list of that shape.
    """

    name: str
    optional: bool = False
    shape: str | None = None
    many: bool = False

    def __str__(self) -> str:
        kind = f"[{self.shape}]" if self.many else self.shape
        return self.name + ("?" if self.optional else "") + (f": {kind}" if kind else "")


FIELD = re.compile(r"(?P<name>\w+)(?P<optional>\?)?(?:: (?P<list>\[)?(?P<shape>\w+)\]?)?")


def written(cell: str) -> set[str]:
    """Return the fields in the `{…}` of a table cell as text: `{a, b?}` → `a`, `b?`. Empty if there is no `{…}`."""
    braces = re.search(r"`\{([^}]*)\}`", cell)
    if braces is None:
        return set()
    fields = set()
    for each in braces[1].split(", "):
        match = FIELD.fullmatch(each)
        assert match, f"docs/contract.md: cannot read the field {each!r} of {cell!r}"
        many = bool(match["list"])
        fields.add(str(Field(match["name"], bool(match["optional"]), match["shape"], many)))
    return fields


# --- the models -----------------------------------------------------------------------------------------


def modelled(model: type[BaseModel], *, request: bool = False) -> set[str]:
    """Return the fields of a model in the notation of docs/contract.md."""
    return {str(_field(model, name, request)) for name in model.model_fields} | _extra(model)


def _field(model: type[BaseModel], name: str, request: bool) -> Field:
    field = model.model_fields[name]
    kinds = _union(field.annotation)
    optional = not field.is_required() if request else type(None) in kinds
    # A field whose only type is None is treated as one that allows any value. A union of enumerations is treated as a
    # text, and a union of numbers and lists of numbers as any value.
    types = [each for each in kinds if each is not type(None)] or [Any]
    of_numbers = {int, float} < set(types)
    of_codes = all(isinstance(each, type) and issubclass(each, StrEnum) for each in types)
    [kind] = [str] if of_codes or of_numbers else types
    many = get_origin(kind) in (list, tuple)
    item = get_args(kind)[0] if many else kind
    shape = _name(item) if isinstance(item, type) and issubclass(item, BaseModel) else None
    return Field(field.alias or name, optional, shape, many and shape is not None)


def _union(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _union(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [each for part in get_args(annotation) for each in _union(part)]
    return [annotation]


def _extra(model: type[BaseModel]) -> set[str]:
    """Return the two fields, `bookingId?` and `orderId?`, that a serializer adds to events about a broadcast."""
    return {"bookingId?", "orderId?"} if issubclass(model, AboutBroadcast) else set()


def _name(model: type[BaseModel]) -> str:
    return model.__name__.removesuffix("View")


# Models that docs/contract.md lists as shapes: responses, and nested parts of requests. The fields of a request's own model
# are in the row of its route.
REQUEST_PARTS = (
    wire.Place,
    broadcasts.VehicleRequirement,
    offers.Truck,
    offers.OneTruck,
    policies.PolicySettings,
)
SHAPES: dict[str, type[BaseModel]] = {
    _name(model): model
    for model in (
        *REQUEST_PARTS,
        common.Accepted,
        outcomes.CommandOutcome,
        broadcasts.BroadcastView,
        broadcasts.BroadcastDetails,
        broadcasts.TruckRequestView,
        trips.AssignmentView,
        offers.AcceptResult,
        broadcasts.CancelResult,
        broadcasts.CancelTruckResult,
        offers.DeclineResult,
        offers.HoldView,
        offers.OfferView,
        broadcasts.TimelineEntry,
        broadcasts.TransitionDetails,
        reasons.ReasonView,
        offers.WhyView,
        offers.PassedOverView,
        offers.RecipientView,
        fleet.VehicleView,
        vehicle_kinds.VehicleKindView,
        fleet.DriverView,
        fleet.AvailabilityView,
        fleet.DeviceView,
        fleet.ForgottenView,
        notifications.Frame,
        broadcasts.RequestedVehicles,
        trips.Waypoint,
        relations.RelationView,
        webhooks.WebhookView,
        webhooks.WebhookWithSecretView,
        webhooks.DeletedWebhookView,
        webhooks.ResendView,
        webhooks.WebhookTestView,
        webhooks.DeliveryView,
        market.MarketView,
        market.MarketFigures,
        market.MarketGroup,
        market.MarketOfPolicy,
        market.Spread,
        market.WonInRing,
        market.ExpiredSlots,
        market.LostAccepts,
        market.CancelledSlots,
        market.LostTrucks,
        admin.Contact,
        admin.BroadcastSummaryView,
        admin.PositionView,
        admin.TransporterSummaryView,
        admin.TransporterDetailsView,
        admin.FleetDriverView,
        admin.OpenOfferView,
        admin.AnswerView,
        admin.StuckView,
        admin.AuditView,
        policies.PolicyRef,
        policies.PolicyVersionView,
        policies.PolicyView,
        policies.PolicyPreview,
        policies.ChangedValue,
        policies.OverlappingPolicy,
        policies.Area,
        policies.Center,
    )
}


def _same_fields(page_has: set[str], code_has: set[str], what: str) -> None:
    """Assert that the page and the code have the same fields. The failure names the fields that either of them lacks."""
    missing, unknown = sorted(code_has - page_has), sorted(page_has - code_has)
    assert page_has == code_has, (
        f"docs/contract.md, {what}: the page lacks {missing or 'nothing'}, the code lacks {unknown or 'nothing'}"
    )


# --- shapes ---------------------------------------------------------------------------------------------


def test_the_page_has_every_shape_and_no_other() -> None:
    assert {name for name, _ in table("shape", "fields")} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_fields_of_its_model(name: str) -> None:
    cells = dict(table("shape", "fields"))
    model = SHAPES[name]
    fields = written(cells[name])
    if base := re.match(r"`(\w+)` and ", cells[name]):
        fields |= written(cells[base[1]])
    _same_fields(fields, modelled(model, request=model in REQUEST_PARTS), f"the shape {name}")


# --- routes ---------------------------------------------------------------------------------------------

WHO = {**{role.value: {role} for role in Role}, "any": set(Role)}


def promised_routes() -> dict[str, Row]:
    """Return the rows of docs/contract.md by route, such as `POST /bookings/{}/cancel`.

    The columns are: roles, request, body (– if the request has none), result.
    """
    found: dict[str, Row] = {}
    commands, reads = table("who", "request", "body", "result"), table("who", "request", "result")
    for roles, requests, *rest in (*commands, *reads):
        body, result = rest if len(rest) == 2 else ("–", *rest)
        for method, path in re.findall(rf"`([A-Z]+) {PREFIX}(/[^`]+)`", requests):
            route = f"{method} {re.sub(r'{[^}]+}', '{}', path)}"
            assert route not in found, f"{route} is on the page twice"
            found[route] = [roles, requests, body, result]
    return found


def given_routes() -> dict[str, dict[str, Any]]:
    """Return the operations by route, without the WebSocket, which the page describes in section 5."""
    return {route: operation for route, operation in operations() if route != "GET /ws"}


def test_the_page_has_every_route_and_no_other() -> None:
    assert set(promised_routes()) == set(given_routes())
    assert set(re.findall(r"`([A-Z]+ /[^`]+)`", page())) >= OFF_THE_PREFIX


@pytest.mark.parametrize("route", given_routes())
def test_a_route_is_for_the_roles_that_the_page_names(route: str) -> None:
    promised = promised_routes()[route][0]
    roles: set[Role] = set().union(*(WHO[each] for each in promised.split(", ")))
    rules = {
        f"{method} {re.sub(r'<[^>]+>', '{}', rule.rule.removeprefix(PREFIX))}": rule.endpoint
        for rule in app().url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert roles == getattr(app().view_functions[rules[route]], "roles", None)


@pytest.mark.parametrize("route", given_routes())
def test_a_route_takes_the_body_of_the_page(route: str) -> None:
    body = _body(given_routes()[route])
    models = {model.__name__: model for model in _below(wire.Request)}
    taken = modelled(models[body], request=True) if body else set()
    _same_fields(written(promised_routes()[route][2]), taken, f"the body of {route}")


@pytest.mark.parametrize("route", given_routes())
def test_a_route_answers_with_the_statuses_and_shapes_of_the_page(route: str) -> None:
    result = promised_routes()[route][3]
    match = re.match(r"(?P<statuses>\d{3}(?:, \d{3})*)(?: `(?P<list>\[)?(?P<shape>\w+)\]?`)?", result)
    assert match, result
    assert match["shape"] in {None, *SHAPES}
    promised = {status: (match["shape"], bool(match["list"])) for status in match["statuses"].split(", ")}
    given = {
        status: _answer(response)
        for status, response in given_routes()[route]["responses"].items()
        if status in ("200", "201", "204")
    }
    assert given == promised


def _body(operation: dict[str, Any]) -> str:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _answer(response: dict[str, Any]) -> tuple[str | None, bool]:
    content = response.get("content") or {}
    name = str(content.get("application/json", {}).get("schema", {}).get("$ref", "")).rpartition("/")[2]
    if name == "PageOfLog":
        return "Frame", True
    paged = re.fullmatch(r"PageOf(\w+)", name)
    return (paged[1] if paged else name).removesuffix("View") or None, bool(paged)


def _below(model: type[wire.Request]) -> Iterator[type[wire.Request]]:
    for each in model.__subclasses__():
        yield each
        yield from _below(each)


# --- the socket -----------------------------------------------------------------------------------------

EVENTS = {entry.name: event for event, entry in CATALOG.items()}


def test_the_page_has_every_event_and_no_other() -> None:
    assert {row[0].strip("`") for row in table("event", "to", "data")} == set(EVENTS)


def test_every_event_about_a_broadcast_has_the_fields_of_about() -> None:
    about = re.search(r"\*\*About\*\* = (`[^`]+`)", page())
    assert about
    assert written(about[1]) == modelled(AboutBroadcast)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_the_data_of_the_page(name: str) -> None:
    [data] = [row[2] for row in table("event", "to", "data") if row[0] == f"`{name}`"]
    model = EVENTS[name]
    about = issubclass(model, AboutBroadcast)
    assert data.startswith("About") == about
    fields = modelled(model) - (modelled(AboutBroadcast) if about else set())
    _same_fields(written(data), fields, f"the event {name}")


def test_the_page_has_every_event_that_is_pushed_and_no_other() -> None:
    listed = re.search(r"^Sent for ((?:`\w+`(?:, )?)+) to users", page(), re.MULTILINE)
    assert listed, "docs/contract.md, section 6, has no line `Sent for … to users`"
    pushed = {entry.name for entry in CATALOG.values() if entry.pushed}
    assert set(re.findall(r"`(\w+)`", listed[1])) == pushed, (
        "docs/contract.md, section 6 (left), and the catalog"
    )


def test_frames_that_are_no_part_of_the_log_are_those_of_the_page() -> None:
    promised = {name.strip("`"): written(data) for name, data in table("frame", "data")}
    assert promised == {name: modelled(model) for name, model in messages.EPHEMERAL.items()}


def test_the_page_has_every_frame_that_clients_may_send_and_no_other() -> None:
    ops = get_args(messages.Op)
    given = {get_args(op.model_fields["op"].annotation)[0]: modelled(op, request=True) for op in ops}
    assert {
        name.strip("`"): written(fields) for name, fields, _ in table("client → server", "fields")
    } == given


# --- codes, queues, settings, commands ------------------------------------------------------------------


def test_the_page_has_every_code_with_its_status_and_no_other() -> None:
    _, _, rest = page().partition("### Codes\n")
    listed, _, _ = rest.partition("\n\n")
    promised = {
        (int(status), code)
        for status, codes in re.findall(r"(\d{3}) ((?:`[A-Z_]+`(?: \([^)]*\))?(?:, )?)+)", listed)
        for code in re.findall(r"`([A-Z_]+)`", codes)
    }
    assert promised == {(code.http_status, code.name) for code in Code}


def test_the_page_has_every_queue_in_order_and_no_other() -> None:
    line = re.search(r"^Queues .*?: ((?:`\w+`(?:, )?)+)\.", page(), re.MULTILINE)
    assert line
    assert tuple(re.findall(r"`(\w+)`", line[1])) == QUEUES


def test_the_page_has_every_setting_with_its_default_and_no_other() -> None:
    promised = {
        variable.strip("`"): default.strip("`") for variable, default, _ in table("variable", "default")
    }
    assert promised == {
        name.upper(): _default(field.default) for name, field in Settings.model_fields.items()
    }


def _default(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return ",".join(_default(each) for each in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_the_page_has_every_command_of_weelo_with_its_options_and_no_other() -> None:
    promised: dict[str, set[str]] = {}
    for line, _ in table("command", "does"):
        if words := re.match(r"`(weelo(?: [a-z]+)+)", line):
            promised[words[1]] = set(re.findall(r"--[a-z-]+", line))
    given = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in commands(cli.weelo, "weelo")
    }
    assert promised == given


def test_the_page_does_not_mention_its_history() -> None:
    assert "(added)" not in page()
    assert not re.search(r"^(Also|Further)\b", page(), re.MULTILINE)


def test_every_wire_model_is_known_to_these_tests() -> None:
    """A new model must be in docs/contract.md: as a shape, a body, an event or a frame of the socket."""
    known = {model.__name__ for model in SHAPES.values()} | {model.__name__ for model in CATALOG}
    known |= {_body(operation) for _, operation in operations()} | {
        op.__name__ for op in get_args(messages.Op)
    }
    known |= {model.__name__ for model in messages.EPHEMERAL.values()}
    assert f"`{webhooks.TEST_EVENT}` is posted by" in page()
    known.add(webhooks.WebhookTest.__name__)  # docs/contract.md describes this model in a sentence
    bases = {
        "Request",
        "BroadcastRequest",
        "Event",
        "AboutBroadcast",
        "AboutAssignment",
        "BroadcastEnded",
        "Outcome",
        "PolicyDraft",
    }
    pages = {"PageOf", "PageOfLog", "LocationUpdated"}
    bases.add("AcceptedAgain")  # docs/contract.md lists the fields of this model under `CommandOutcome`

    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for each in model.__subclasses__():
            yield each
            yield from below(each)

    models = {
        each.__name__
        for each in below(Wire)
        if each.__module__.startswith("weelo_") and "[" not in each.__name__ and not is_of_the_sandbox(each)
    }
    assert models <= known | bases | pages

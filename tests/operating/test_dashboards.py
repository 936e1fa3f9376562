"""Every metric and label of the dashboards and rules exists in a running system."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ops.generate.files import FOLDER
from ops.generate.slos import SLOS
from tests.support.people import Truck, book, refusal
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_client import WeeloClient
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("operated")

OF_PROMETHEUS = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate"},
}
"""Series that Prometheus itself makes, and their labels."""
OF_SCRAPES = {"instance", "job"}
"""Labels that Prometheus adds to each series."""

GRAFANA_VALUES = {"$__rate_interval": "5m", "$area": "a", "$vehicle_type": "a", "$queue": "a"}

Uses = dict[str, set[str]]
"""By metric, the labels that queries use."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[str]:
    """Yield the queries of all rules, and of all panels and variables of the dashboards."""
    yield from (rule["expr"] for rule in rules())
    for dashboard in sorted((FOLDER / "grafana/dashboards").glob("*.json")):
        document = json.loads(dashboard.read_text())
        for panel in document["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))
        for variable in document["templating"]["list"]:
            if asked := re.fullmatch(r"label_values\((\w+), (\w+)\)", str(variable.get("query"))):
                yield f"count by ({asked[2]}) ({asked[1]})"


def uses(expression: str) -> Uses:
    """Return the labels by which a query selects or groups each of its metrics."""
    for name, value in GRAFANA_VALUES.items():
        expression = expression.replace(name, value)
    found: Uses = defaultdict(set)
    _collect(promql_parser.parse(expression), set(), found)
    return found


def _collect(node: Any, grouped_by: set[str], found: Uses) -> None:
    match node:
        case promql_parser.VectorSelector():
            found[node.name] |= grouped_by | {matcher.name for matcher in node.matchers.matchers}
        case promql_parser.MatrixSelector():
            _collect(node.vector_selector, grouped_by, found)
        case promql_parser.AggregateExpr():
            inner = set(node.modifier.labels) if node.modifier else set()
            _collect(node.expr, inner, found)
        case promql_parser.Call():
            for argument in node.args:
                _collect(argument, grouped_by, found)
        case promql_parser.BinaryExpr():
            _collect(node.lhs, grouped_by, found)
            _collect(node.rhs, grouped_by, found)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            _collect(node.expr, grouped_by, found)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            pass
        case _:
            raise AssertionError(f"a query contains {type(node).__name__}, which this test does not know")


def test_the_parser_finds_names_and_labels() -> None:
    found = uses(
        'max by (queue) (weelo_a{x="1"} > 0) unless sum by (z) (rate(weelo_b_total{y!="2"}[5m])) / weelo_c'
    )
    assert found == {"weelo_a": {"x", "queue"}, "weelo_b_total": {"y", "z"}, "weelo_c": set()}


def test_every_metric_and_label_exists(operated: System) -> None:
    play(operated)
    asked: Uses = defaultdict(set)
    for query in queries():
        for name, labels in uses(query).items():
            asked[name] |= labels
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named_by_us = {name for name in asked if name.startswith("weelo:")}
    assert named_by_us == recorded & named_by_us

    def all_exist() -> bool:
        existing = {**OF_PROMETHEUS, **scraped(operated)}
        missing = {
            name: labels - existing[name] - OF_SCRAPES if name in existing else "the metric"
            for name, labels in asked.items()
            if not name.startswith("weelo:")
            and (name not in existing or labels - existing[name] - OF_SCRAPES)
        }
        assert missing == {}
        return True

    eventually(all_exist, within=30, every=0.5)


def test_every_value_of_a_label_that_an_alert_waits_for_exists(operated: System) -> None:
    """An alert with a misspelt value of a label would never fire."""
    series = scraped_series(operated)
    for slo in SLOS:
        for counter in ("weelo_slo_events_total", "weelo_slo_good_events_total"):
            assert {"slo": slo.name} in series[counter]
    assert {"result": "later"} in series["weelo_pushes_total"]
    assert {"result": "delivered"} in series["weelo_webhook_attempts_total"]


def test_every_process_measures_its_clock_against_the_database_s(operated: System) -> None:
    urls = json.loads((operated.folder / "runtime.json").read_text())["metrics_urls"]
    for url in (*urls.values(), f"{operated.url}/metrics"):
        (skew,) = re.findall(
            r"^weelo_clock_skew_seconds (\S+)$", httpx.get(url, timeout=10).text, re.MULTILINE
        )
        assert abs(float(skew)) < 0.5


def scraped(system: System) -> Uses:
    """Return the labels of each metric at /metrics of the API."""
    return {
        name: set().union(*(each.keys() for each in labels))
        for name, labels in scraped_series(system).items()
    }


def scraped_series(system: System) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for family in text_string_to_metric_families(httpx.get(f"{system.url}/metrics", timeout=10).text):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


def play(system: System) -> None:
    """Cause everything that panels count: won, lost, declined and returned trucks, cancellations, and an expiry."""
    truck, late = Truck(system), Truck(system)
    customer, driver = system.client(Role.CUSTOMER, uuid4()), system.client(Role.DRIVER, truck.driver)
    booking = book(customer)["id"]
    for each in (truck, late):
        eventually(lambda: _is_offered(each.client, booking))  # noqa: B023
    truck.accept(booking)
    assert refusal(lambda: late.accept(booking)) == (409, "BROADCAST_FILLED")
    late.available(False)
    customer.cancel_booking(booking)
    booking, assignment = won(truck, customer)
    driver.decline_assignment(assignment)
    customer.cancel_booking(booking)
    booking, assignment = won(truck, customer)
    driver.accept_assignment(assignment)
    driver.give_back(assignment, "breakdown")
    customer.cancel_booking(booking)
    truck.available(False)
    book(customer)  # this request expires after five seconds


def won(truck: Truck, customer: WeeloClient) -> tuple[str, str]:
    """Let the customer book and the truck accept. Return the ids of the booking and of the assignment."""
    booking = book(customer)["id"]
    eventually(lambda: _is_offered(truck.client, booking))
    return booking, truck.accept(booking)["assignments"][0]["id"]


def _is_offered(client: WeeloClient, booking: str) -> bool:
    return any(booking in json.dumps(offer) for offer in client.offers())

"""Every metric has a help text, a unit and bounded labels, and docs/metrics.md lists it."""

from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.metric_list import all_metrics
from tests.support.sources import ROOT
from weelo_workers.doctor.check import CHECKS, RUNBOOK
from weelo_workers.doctor.examine import in_order
from weelo_workers.metrics.listing import LABELS, Listed

METRICS = {each.name: each for each in all_metrics()}
UNIT = re.compile(r"_(?:seconds|bytes|km|ratio)(?:_|$)")
# A gauge without a unit counts things or is a switch, and its help says so.
COUNT_OR_SWITCH = re.compile(r"Number of |1 if .+, else 0")
HAS_AN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|\d{5,}|@")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_has_a_prefix_a_unit_and_a_help_text(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(r"weelo_[a-z][a-z_]*", name)
    assert re.match(r"[A-Z0-9]", metric.help) and len(metric.help) >= 10 and not metric.help.endswith(".")
    match metric.kind:
        case "counter":
            assert name.endswith("_total")
        case "histogram":
            assert UNIT.search(name), f"{name} measures something without a unit"
        case "gauge":
            assert UNIT.search(name) or COUNT_OR_SWITCH.match(metric.help), f"what is {name} measured in?"
        case other:
            pytest.fail(f"{name} is a {other}")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_has_labels_with_a_bounded_number_of_values_only(name: str) -> None:
    assert set(METRICS[name].labels) <= set(LABELS), (
        "describe the label, and what bounds its values, in LABELS"
    )


def test_what_is_served_is_listed_and_no_value_of_a_label_is_an_id(migrated: None) -> None:
    from weelo_api import create_app, metrics

    client = create_app().test_client()
    client.get("/api/v1/bookings/0f8fad5b-d9cb-469f-a165-70867728950e")
    client.get("/api/v1/nothing/12345678")
    families = list(text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode()))
    listed = {each.name.removesuffix("_total") for each in METRICS.values()}
    for family in families:
        if family.name.removesuffix("_created") not in listed:
            pytest.fail(f"{family.name} is served and not listed")
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or not HAS_AN_ID.search(value), f"{sample.name} {label}={value}"


def test_the_series_of_a_histogram_are_named() -> None:
    listed = Listed("weelo_x_seconds", "histogram", (), "")
    assert listed.series == ("weelo_x_seconds_bucket", "weelo_x_seconds_sum", "weelo_x_seconds_count")


# --- the runbook ----------------------------------------------------------------------------------------


def _entries() -> dict[str, str]:
    """Return the text of each entry of the runbook, by its heading."""
    parts = re.split(r"^### (.+)$", (ROOT / RUNBOOK).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_runbook_has_one_entry_per_check() -> None:
    assert sorted(_entries()) == sorted(CHECKS)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_an_entry_states_severity_and_what_to_do(name: str) -> None:
    entry, check = _entries()[name], CHECKS[name]
    assert entry.lstrip().startswith(f"**{check.severity.value}.**")
    assert len(entry.split()) >= 15
    assert re.fullmatch(r"[a-z]+(?:-[a-z]+)*", name)
    assert check.find.__doc__ and check.remedy and not check.remedy.endswith(".")


def test_a_check_runs_after_those_that_it_needs() -> None:
    order = [each.name for each in in_order(CHECKS.values())]
    for name, check in CHECKS.items():
        assert all(order.index(needed) < order.index(name) for needed in check.needs)
        for needed in check.needs:
            assert set(CHECKS[needed].needs) <= set(check.needs), (
                "what a needed check needs is listed as well"
            )

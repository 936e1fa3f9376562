"""Reads metrics of a running system."""

from __future__ import annotations

import json

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.system import System

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str) -> Figures:
    """Return the value of each sample, by its name and its labels."""
    answer = httpx.get(url, timeout=10)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def total(figures: Figures, figure: str, /, **labels: str) -> float:
    """Return the sum of all samples with this name and at least these labels; 0 if there is none."""
    return sum(_samples(figures, figure, labels))


def of(figures: Figures, figure: str, /, **labels: str) -> float:
    """Return the sum of all samples with this name and at least these labels. Raises AssertionError if there is none."""
    found = _samples(figures, figure, labels)
    assert found, f"there is no {figure} {labels}"
    return sum(found)


def _samples(figures: Figures, figure: str, labels: dict[str, str]) -> list[float]:
    return [v for (n, given), v in figures.items() if n == figure and labels.items() <= dict(given).items()]


def worker_urls(system: System) -> dict[str, str]:
    """Return the addresses of the metrics of workers and beat, by name."""
    urls: dict[str, str] = json.loads((system.folder / "runtime.json").read_text())["metrics_urls"]
    return urls

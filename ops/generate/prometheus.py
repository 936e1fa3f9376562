"""The rules of Prometheus, and its configuration for Docker Compose."""

from __future__ import annotations

from typing import Any

from ops.generate.alerts import RUNBOOK, alerts
from ops.generate.pace import Pace
from ops.generate.slos import HOUR, SLOS
from weelo_workers.contracts.queues import QUEUES

API_PORT, METRICS_PORT = 8000, 9540

USUAL_DAYS = (1, 2, 3, 7)
"""The fill rate is compared with that of the same hour, this many days before. 7 days before is the same day of the
week."""


def rules(pace: Pace, runbook: str = RUNBOOK) -> dict[str, Any]:
    """Return the recording and alerting rules. `runbook`: the address of the page to which alerts link."""
    recordings = [rule for slo in SLOS for rule in slo.recordings(pace)]
    return {
        "groups": [
            {"name": "weelo-slos", "rules": recordings},
            {"name": "weelo-market", "rules": _fill_ratios(pace)},
            {"name": "weelo-alerts", "rules": [alert.rule(pace, runbook) for alert in alerts(pace)]},
        ]
    }


def _fill_ratios(pace: Pace) -> list[dict[str, str]]:
    window = pace.duration(HOUR)
    won, asked = (
        f"sum by (area) (increase(weelo_market_slots_{what}_total[{window}]))" for what in ("won", "asked")
    )
    # `or` keeps the first of several series with equal labels, so each day gets a label of its own.
    days = " or ".join(
        f'label_replace(weelo:fill_ratio:1h offset {days}d, "day", "{days}", "", "")' for days in USUAL_DAYS
    )
    return [
        {"record": "weelo:fill_ratio:1h", "expr": f"{won} / ({asked} > 0)"},
        {"record": "weelo:fill_ratio:usual", "expr": f"avg by (area) ({days})"},
    ]


def configuration(pace: Pace) -> dict[str, Any]:
    """Return the configuration for Docker Compose, in which each service's name resolves to all its containers."""
    return {
        "global": {"scrape_interval": _seconds(pace), "evaluation_interval": _seconds(pace)},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            _job("weelo-api", ["api"], API_PORT),
            _job("weelo-workers", [*QUEUES, "beat"], METRICS_PORT),
        ],
    }


def _job(name: str, services: list[str], port: int) -> dict[str, Any]:
    look_up = {"names": services, "type": "A", "port": port, "refresh_interval": "15s"}
    return {"job_name": name, "dns_sd_configs": [look_up]}


def _seconds(pace: Pace) -> str:
    return f"{pace.interval:g}s"

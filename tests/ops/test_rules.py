"""The alert rules, checked by promtool: each alert fires on the series of its fault, and not on an ordinary day's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.generate.alerts import alerts
from ops.generate.files import FOLDER
from ops.generate.pace import Pace
from tests.support.prometheus import promtool

RULES = FOLDER / "prometheus/rules.yml"


@dataclass(frozen=True)
class Case:
    """An alert's series in promtool's notation (`0+5x10`: eleven values, each 5 higher), and what the alert should do.

    `step`: the time between two values. `fires_at`, `quiet_at`: the times after the start at which the alert must fire
    and must not fire; None: this is not checked.
    """

    alert: str
    what: str
    series: Mapping[str, str]
    fires_at: str | None = None
    quiet_at: str | None = None
    step: str = "15s"
    labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of the firing alert."""


def events(slo: str, all_of_them: str, good: str) -> dict[str, str]:
    return {
        f'weelo_slo_events_total{{slo="{slo}"}}': all_of_them,
        f'weelo_slo_good_events_total{{slo="{slo}"}}': good,
    }


def slots(asked: str, won: str) -> dict[str, str]:
    kind = '{area="default", vehicle_type="open"}'
    return {
        f"weelo_market_slots_asked_total{kind}": asked,
        f"weelo_market_slots_won_total{kind}": won,
    }


def pushes(sent: str, later: str) -> dict[str, str]:
    return {'weelo_pushes_total{result="sent"}': sent, 'weelo_pushes_total{result="later"}': later}


def answers(all_of_them: str, unavailable: str) -> dict[str, str]:
    return {
        'weelo_http_requests_total{status="202"}': all_of_them,
        'weelo_unavailable_total{cause="shed"}': unavailable,
    }


def posts(delivered: str, timeout: str) -> dict[str, str]:
    return {
        'weelo_webhook_attempts_total{result="delivered"}': delivered,
        'weelo_webhook_attempts_total{result="timeout"}': timeout,
    }


def timer(oldest: str, fired: str) -> dict[str, str]:
    name = "broadcasts.expire"
    return {
        f'weelo_timer_oldest_seconds{{name="{name}"}}': oldest,
        f'weelo_commands_total{{name="{name}", outcome="succeeded"}}': fired,
        f'weelo_commands_total{{name="{name}", outcome="failed"}}': "0+9x400",
    }


API = 'up{job="weelo-api", instance="a"}'
OTHER = 'up{job="weelo-api", instance="b"}'
OFFERS = {"queue": "offers"}
WORKER = '{kind="worker", instance="a"}'

CASES = [
    Case("WeeloApiDown", "all processes gone", {API: "1x8 0x20", OTHER: "1x8 stale"}, "4m"),
    Case("WeeloApiDown", "one of two gone", {API: "1x8 0x20", OTHER: "1x30"}, quiet_at="4m"),
    Case("WeeloApiDown", "never scraped", {"other": "1x30"}, "2m", "45s"),
    Case("WeeloApiUnavailable", "shed", answers("0+9x40", "0+3x40"), "6m"),
    Case("WeeloApiUnavailable", "a moment", answers("0+9x40", "0x4 9x40"), quiet_at="9m"),
    Case("WeeloSweepDead", "no sweep", {"weelo_sweep_last_seconds": "0+15x20"}, "3m", "30s"),
    Case("WeeloSweepDead", "a failover", {"weelo_sweep_last_seconds": "1 15 30 1x20"}, quiet_at="1m"),
    Case(
        "WeeloConsumerDead",
        "none",
        {'weelo_consumers{queue="offers"}': "2x4 0x20"},
        "3m",
        "1m30s",
        labels=OFFERS,
    ),
    Case(
        "WeeloConsumerDead",
        "seen by another API process",
        {
            'weelo_consumers{queue="offers", instance="a"}': "0x20",
            'weelo_consumers{queue="offers", instance="b"}': "1x20",
        },
        quiet_at="4m",
    ),
    Case("WeeloProcessesRestarting", "children", {f"weelo_process_starts_total{WORKER}": "2x4 2+1x20"}, "5m"),
    Case(
        "WeeloProcessesRestarting",
        "a container",
        {
            f"weelo_process_starts_total{WORKER}": "1x40",
            f"weelo_process_start_timestamp_seconds{WORKER}": "5x4 5+9x20",
        },
        "5m",
    ),
    Case(
        "WeeloProcessesRestarting",
        "a deploy",
        {
            f"weelo_process_starts_total{WORKER}": "1x40",
            f"weelo_process_start_timestamp_seconds{WORKER}": "5x4 9x80",
        },
        quiet_at="5m",
    ),
    Case(
        "WeeloCheckFailing", "for long", {'weelo_check_failing{check="queue-behind"}': "0x4 1x40"}, "8m", "4m"
    ),
    Case("WeeloDatabaseDown", "for long", {"weelo_database_up": "1x4 0x20"}, "3m", "1m45s"),
    Case(
        "WeeloDatabaseDown", "back after half a minute", {"weelo_database_up": "1x4 0x2 1x20"}, quiet_at="3m"
    ),
    Case("WeeloRedisDown", "for long", {"weelo_redis_up": "1x4 0x20"}, "3m", "1m45s"),
    Case(
        "WeeloClockSkew",
        "behind by three seconds",
        {'weelo_clock_skew_seconds{instance="a"}': "0x4 -3x40"},
        "5m",
        "2m",
    ),
    Case("WeeloClockSkew", "ahead", {'weelo_clock_skew_seconds{instance="a"}': "1.5x40"}, "5m"),
    Case("WeeloClockSkew", "small", {'weelo_clock_skew_seconds{instance="a"}': "0.4x40"}, quiet_at="5m"),
    Case(
        "WeeloQueueOld",
        "stuck",
        {'weelo_queue_oldest_seconds{queue="offers"}': "0+15x40"},
        "7m",
        "2m",
        labels=OFFERS,
    ),
    Case(
        "WeeloQueueOld",
        "a burst",
        {'weelo_queue_oldest_seconds{queue="offers"}': "0+15x6 0x40"},
        quiet_at="4m",
    ),
    Case("WeeloTimersNotFiring", "none of this kind", timer("0+15x40", "7x40"), "8m", "1m"),
    Case("WeeloTimersNotFiring", "one is blocked and others fire", timer("0+15x40", "7+1x40"), quiet_at="8m"),
    Case("WeeloTimersNotFiring", "none is due", timer("0x40", "7x40"), quiet_at="8m"),
    Case(
        "WeeloCommandsParked",
        "one",
        {'weelo_parked{queue="trips"}': "0x4 1x20"},
        "3m",
        "1m",
        labels={"queue": "trips"},
    ),
    Case(
        "WeeloTimerLatenessBurn",
        "fast",
        events("timer_lateness", "0+50x80", "0+45x80"),
        "15m",
        labels={"burn": "fast"},
    ),
    Case(
        "WeeloTimerLatenessBurn",
        "slow",
        events("timer_lateness", "0+1000x100", "0+992x100"),
        "7h",
        step="5m",
        labels={"burn": "slow"},
    ),
    Case(
        "WeeloTimerLatenessBurn",
        "within the budget",
        events("timer_lateness", "0+10000x80", "0+9995x80"),
        quiet_at="15m",
    ),
    Case(
        "WeeloTimerLatenessBurn", "too few events", events("timer_lateness", "0+1x80", "0x80"), quiet_at="15m"
    ),
    Case(
        "WeeloAcceptToFrameBurn",
        "fast",
        events("accept_to_frame", "0+10x80", "0+7x80"),
        "15m",
        labels={"burn": "fast"},
    ),
    Case(
        "WeeloAcceptToFrameBurn",
        "slow",
        events("accept_to_frame", "0+100x100", "0+92x100"),
        "7h",
        step="5m",
        labels={"burn": "slow"},
    ),
    Case(
        "WeeloAcceptToFrameBurn",
        "over",
        events("accept_to_frame", "0+10x40 400+10x40", "0+5x40 200+10x40"),
        quiet_at="19m",
        labels={"burn": "fast"},
    ),
    Case("WeeloFcmAway", "503 for all", pushes("9x60", "0+2x60"), "8m", "15s"),
    Case("WeeloFcmAway", "503 now and then", pushes("0+5x60", "0+1x60"), quiet_at="8m"),
    Case("WeeloFcmAway", "too few pushes", pushes("9x60", "0x30 1x30"), quiet_at="9m"),
    Case("WeeloWebhookDeliveriesFailing", "most", posts("0+1x160", "0+4x160"), "25m", "4m"),
    Case("WeeloWebhookDeliveriesFailing", "one endpoint", posts("0+8x160", "0+2x160"), quiet_at="25m"),
    Case(
        "WeeloFillRateFallen",
        "on the second day",
        # Ten slots are requested every ten minutes. For a day nine of them are filled, then none.
        slots("0+10x200", "0+9x144 1296x60"),
        "26h",
        "24h",
        step="10m",
        labels={"area": "default"},
    ),
    Case(
        "WeeloFillRateFallen",
        "at night with few requests",
        slots("0+4x200", "0+3x144 432x60"),
        quiet_at="26h",
        step="10m",
    ),
    Case(
        "WeeloFillRateFallen",
        "as low as at this hour of the day before",
        # A day has 144 values, one per ten minutes. On each day slots are filled for 23 hours, and none in the last hour.
        slots("0+10x300", "0+9x137 1233x5 1242+9x137 2475x5"),
        quiet_at="47h50m",
        step="10m",
    ),
]


def test_the_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    names = {alert.name for alert in alerts(Pace())}
    assert {case.alert for case in CASES if case.fires_at} == names
    assert {case.alert for case in CASES if case.quiet_at} == names


@pytest.mark.parametrize("step", sorted({case.step for case in CASES}))
def test_alerts_fire_when_they_should(step: str, tmp_path: Path) -> None:
    """One run of promtool checks all cases with the same step, because its start takes longer than a case."""
    file = tmp_path / "cases.yml"
    tests = [_test_of(case) for case in CASES if case.step == step]
    groups = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    cases = {
        "rule_files": [str(RULES)],
        "evaluation_interval": step,
        # Some alerts read values that rules of another group record. By default promtool evaluates groups in any order,
        # so an alert could be evaluated before the values of the same moment are recorded.
        "group_eval_order": groups,
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(cases))
    promtool("test", "rules", file)


def _test_of(case: Case) -> dict[str, Any]:
    """Return the case in promtool's form. Its query counts the firing alerts with this name and these labels."""
    labels = "".join(f', {name}="{value}"' for name, value in case.labels.items())
    expr = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"{labels}}})'
    asked = []
    if case.fires_at:
        asked.append(
            {"expr": expr, "eval_time": case.fires_at, "exp_samples": [{"labels": "{}", "value": 1}]}
        )
    if case.quiet_at:
        asked.append({"expr": expr, "eval_time": case.quiet_at, "exp_samples": []})
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    # promtool prints this name if the case fails.
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": case.step,
        "input_series": series,
        "promql_expr_test": asked,
    }

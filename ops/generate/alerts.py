"""The alerts. Each has an entry in docs/runbooks/alerts.md, and a test that breaks what the alert watches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ops.generate.pace import Pace
from ops.generate.slos import (
    ACCEPT_TO_FRAME,
    FAST_BURN,
    FIVE_MINUTES,
    HOUR,
    SIX_HOURS,
    SLOW_BURN,
    TIMER_LATENESS,
    Slo,
)
from weelo_workers.clock import MAX_SKEW_SECONDS

Severity = Literal["page", "ticket"]

QUEUE_OLD_SECONDS = 60
TIMER_OLD_SECONDS = 30
SWEEP_OLD_SECONDS = 20
FALLEN = 0.7
"""An alert fires if the fill rate is lower than this share of the usual fill rate."""

RUNBOOK = "docs/runbooks/alerts.md"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: a condition, and what the notified person reads."""

    name: str
    severity: Severity
    """page: a person must act now. ticket: a person must act within a day."""
    expr: str
    wait: float
    """Seconds for which the condition must hold."""
    why_wait: str
    """Why the alert waits for this long, or why it does not wait."""
    summary: str
    action: str
    """What to do first. The runbook has the rest."""
    burn: str = ""
    """The value of the label `burn`, which distinguishes the two rules of an error budget."""

    @property
    def anchor(self) -> str:
        """The anchor of the alert's entry in the runbook."""
        return self.name.lower()

    def runbook_url(self, runbook: str = RUNBOOK) -> str:
        """Return the address of the alert's entry. `runbook`: the address of the page of all entries."""
        return f"{runbook}#{self.anchor}"

    def rule(self, pace: Pace, runbook: str = RUNBOOK) -> dict[str, object]:
        """Return the alerting rule. `runbook`: the address of the page to which it links."""
        burn = {"burn": self.burn} if self.burn else {}
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": pace.wait(self.wait),
            "labels": {"severity": self.severity, **burn},
            "annotations": {
                "summary": self.summary,
                "action": self.action,
                "runbook_url": self.runbook_url(runbook),
            },
        }


def alerts(pace: Pace) -> list[Alert]:
    """Return all alerts. Several rules may have one name."""
    return [*_processes(pace), *_servers(), *_queues(pace), *_deliveries(pace), *_market(pace)]


# Each API process returns the same figures of the database, hence `max`. Counters belong to one process, hence `sum`.


def _processes(pace: Pace) -> Iterator[Alert]:
    yield Alert(
        "WeeloApiDown",
        "page",
        'absent(up{job="weelo-api"} == 1)',
        60,
        "A rolling deploy of a single API process takes up to half a minute.",
        "No API process answers Prometheus.",
        "Look at the API's containers and their logs. If they run, look at the proxy and the network.",
    )
    window = pace.duration(FIVE_MINUTES)
    refused = f'sum by (cause) (increase(weelo_unavailable_total{{cause!="paused"}}[{window}]))'
    requests = f"scalar(sum(increase(weelo_http_requests_total[{window}])))"
    yield Alert(
        "WeeloApiUnavailable",
        "page",
        f"{refused} / {requests} > 0.05 and {refused} >= {pace.at_least(10)}",
        120,
        "A failover or a short burst is over within two minutes, and clients retry.",
        "{{ $value | humanizePercentage }} of all requests are answered 503. Cause: {{ $labels.cause }}.",
        "shed: scale the oldest queue. database: look at PostgreSQL. other: read the API's log.",
    )
    yield Alert(
        "WeeloSweepDead",
        "page",
        f"max(weelo_sweep_last_seconds) > {SWEEP_OLD_SECONDS}",
        30,
        "A restart of beat takes a few seconds; a failover of PostgreSQL stops the sweep for about half a minute.",
        "Beat has not swept for {{ $value | humanizeDuration }}: commands whose messages were lost are not executed.",
        "Restart beat. If PostgreSQL is down too, start with PostgreSQL.",
    )
    yield Alert(
        "WeeloConsumerDead",
        "page",
        "max by (queue) (weelo_consumers) == 0",
        60,
        "A deploy replaces the worker of a queue within a minute.",
        "No worker consumes the queue {{ $labels.queue }}; beat executes its commands one after another.",
        "Restart the worker of this queue. `weelo doctor` prints what is known about it.",
    )
    window = pace.duration(900)
    # If a container restarts, its counter begins with 1 again, and `increase` does not count this. So the rule also
    # counts the changes of the start time.
    yield Alert(
        "WeeloProcessesRestarting",
        "ticket",
        f"sum by (instance, kind) (increase(weelo_process_starts_total[{window}])) >= 3"
        f" or sum by (instance, kind) (changes(weelo_process_start_timestamp_seconds[{window}])) >= 3",
        0,
        "It does not: a deploy makes fewer than three starts in 15 minutes.",
        "Processes of the kind {{ $labels.kind }} at {{ $labels.instance }} started {{ $value | humanize }} times in 15 minutes.",
        "Read the log of the process before its end: a crash, too little memory, or a setting.",
    )
    yield Alert(
        "WeeloCheckFailing",
        "ticket",
        "max by (check) (weelo_check_failing) == 1",
        300,
        "The checks run every minute, and the sweep repairs most of what they find within seconds.",
        "The check {{ $labels.check }} of `weelo doctor` has failed for five minutes.",
        "Run `weelo doctor`: it prints what was found and what to do (docs/runbooks/checks.md).",
    )


def _servers() -> Iterator[Alert]:
    yield Alert(
        "WeeloDatabaseDown",
        "page",
        "min(weelo_database_up) == 0",
        60,
        "A failover takes about half a minute, and nothing is lost meanwhile.",
        "PostgreSQL does not answer. The API answers 503; accepted commands wait.",
        "Look at PostgreSQL. Nothing has to be repeated afterwards.",
    )
    yield Alert(
        "WeeloRedisDown",
        "page",
        "min(weelo_redis_up) == 0",
        60,
        "A restart of Redis takes seconds, and the sweep executes commands meanwhile.",
        "Redis does not answer. The sweep executes commands slowly; no distances are known.",
        "Look at Redis. Nothing has to be repeated afterwards.",
    )
    yield Alert(
        "WeeloClockSkew",
        "ticket",
        f"max by (instance) (abs(weelo_clock_skew_seconds)) > {MAX_SKEW_SECONDS:g}",
        120,
        "A single slow answer of the database must not count as a skew.",
        "The clock of {{ $labels.instance }} differs from the database's by {{ $value | humanizeDuration }}.",
        "Look at NTP on both machines. Timers fire late by the difference at most, never early.",
    )


def _queues(pace: Pace) -> Iterator[Alert]:
    yield Alert(
        "WeeloQueueOld",
        "page",
        f"max by (queue) (weelo_queue_oldest_seconds) > {QUEUE_OLD_SECONDS}",
        120,
        "Within two minutes a burst is executed, or new workers are started.",
        "The oldest command of the queue {{ $labels.queue }} has waited for {{ $value | humanizeDuration }}.",
        "If its workers are busy, scale the queue. If they are idle, look for a failing or blocked command: `weelo doctor`.",
    )
    settled = (
        f'increase(weelo_commands_total{{outcome=~"succeeded|rejected"}}[{pace.duration(FIVE_MINUTES)}])'
    )
    yield Alert(
        "WeeloTimersNotFiring",
        "page",
        f"max by (name) (weelo_timer_oldest_seconds) > {TIMER_OLD_SECONDS} unless sum by (name) ({settled}) > 0",
        60,
        "A timer blocked by a lock or an outage is retried every second.",
        "No timer {{ $labels.name }} has fired in five minutes, and the oldest is {{ $value | humanizeDuration }} late.",
        "Look at `last_error` of the due rows of this name, and at the log of the worker of the queue `timers`.",
    )
    yield Alert(
        "WeeloCommandsParked",
        "ticket",
        "max by (queue) (weelo_parked) > 0",
        60,
        "A parked command stays until a person acts; the minute allows for a retry that is under way.",
        "{{ $value }} commands of the queue {{ $labels.queue }} failed five times and are not retried.",
        "`weelo mailbox parked`, `weelo mailbox show ID`; remove the cause, then `weelo mailbox retry ID`.",
    )
    yield from _burning(
        pace,
        TIMER_LATENESS,
        "WeeloTimerLatenessBurn",
        "Timers fire more than a second late",
        "Look at weelo_timers_fired_total by `sweep` (the broker loses messages) and at the queue `timers`.",
    )


def _deliveries(pace: Pace) -> Iterator[Alert]:
    yield from _burning(
        pace,
        ACCEPT_TO_FRAME,
        "WeeloAcceptToFrameBurn",
        "Outcomes of accepts reach sockets later than a second after the accept",
        "Look at the age of the queues `offers` and `notifications`, then at the API's processor time.",
    )
    window = pace.duration(FIVE_MINUTES)
    later = f'sum(increase(weelo_pushes_total{{result="later"}}[{window}]))'
    attempts = f'sum(increase(weelo_pushes_total{{result=~"sent|later|refused"}}[{window}]))'
    yield Alert(
        "WeeloFcmAway",
        "page",
        f"{later} / {attempts} > 0.5 and {attempts} >= {pace.at_least(5)}",
        120,
        "FCM answers single requests with 503 now and then, and they are retried.",
        "FCM accepts fewer than half of the pushes; apps without an open socket miss the others.",
        "Look at FCM's status page, the credentials and the network. Pushes are retried until they expire.",
    )
    window = pace.duration(900)
    failed = f'sum(increase(weelo_webhook_attempts_total{{result!="delivered"}}[{window}]))'
    attempts = f"sum(increase(weelo_webhook_attempts_total[{window}]))"
    yield Alert(
        "WeeloWebhookDeliveriesFailing",
        "ticket",
        f"{failed} / {attempts} > 0.5 and {attempts} >= {pace.at_least(20)}",
        300,
        "A single endpoint that is down is tried less and less often. Its owner has to repair it.",
        "More than half of the posts to webhooks fail.",
        "Look at weelo_webhook_attempts_total by result: `unreachable` and `timeout` for all endpoints mean that our network fails.",
    )


def _market(pace: Pace) -> Iterator[Alert]:
    asked = f"sum by (area) (increase(weelo_market_slots_asked_total[{pace.duration(HOUR)}]))"
    yield Alert(
        "WeeloFillRateFallen",
        "page",
        f"weelo:fill_ratio:1h < {FALLEN:g} * weelo:fill_ratio:usual and {asked} >= {pace.at_least(30)}",
        600,
        "The hour includes requests that are still open and may be filled.",
        "In {{ $labels.area }} {{ $value | humanizePercentage }} of the slots were filled in the last hour, much less than on other days.",
        "Look at the dashboard `Weelo: market`: are fewer transporters online, are offers made, are accepts lost?",
    )


def _burning(pace: Pace, slo: Slo, name: str, what: str, action: str) -> Iterator[Alert]:
    budget = f"objective {slo.objective:.1%}"
    yield Alert(
        name,
        "page",
        slo.burning(FAST_BURN, FIVE_MINUTES, HOUR, pace),
        120,
        "The window of five minutes ends the alert soon after the loss ends.",
        f"{what}: the error budget burns {{{{ $value | humanize }}}} times too fast ({budget}).",
        action,
        burn="fast",
    )
    yield Alert(
        name,
        "ticket",
        slo.burning(SLOW_BURN, HOUR, SIX_HOURS, pace),
        900,
        "A loss that takes hours to use up the budget needs no answer within minutes.",
        f"{what}: for six hours the error budget has burned {{{{ $value | humanize }}}} times too fast ({budget}).",
        action,
        burn="slow",
    )

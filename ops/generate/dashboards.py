"""The Grafana dashboards: the system, the market, and each queue.

They are built with Grafana's own builders, so that every field has a name and a type that Grafana knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models, dashboard as models

from ops.generate.alerts import FALLEN, QUEUE_OLD_SECONDS, SWEEP_OLD_SECONDS
from ops.generate.slos import ACCEPT_TO_FRAME, FIVE_MINUTES, HOUR, SIX_HOURS, TIMER_LATENESS, Slo
from weelo_workers.clock import MAX_SKEW_SECONDS

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${source}")

# Widths and heights of panels in Grafana's units: a row has 24 columns.
_STAT, _GRAPH = (4, 4), (12, 8)

RATE = "$__rate_interval"
"""Grafana's variable: a window of at least four scrapes."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and the legend of its lines, in which `{{queue}}` stands for the value of the label `queue`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """A panel that shows values as lines over time."""

    title: str
    meaning: str
    queries: Sequence[Query]
    unit: str = "short"
    limit: float | None = None
    """A line at this value, above which something is wrong."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A panel that shows one number, in red from the value `bad_from` on, or below the value `bad_below`."""

    title: str
    meaning: str
    expr: str
    unit: str = "short"
    bad_from: float | None = None
    bad_below: float | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the dashboard. `repeat`: a variable; the row is shown once for each of its values."""

    title: str
    panels: Sequence[Graph | Figure]
    repeat: str | None = None


def dashboards() -> dict[str, str]:
    """Return the dashboards as JSON, by file name."""
    return {
        "system.json": _json(_system()),
        "market.json": _json(_market()),
        "queues.json": _json(_queues()),
    }


# --- the dashboards -----------------------------------------------------------------------------------------


def _system() -> dashboard.Dashboard:
    now = Section(
        "Now",
        [
            Figure(
                "Alerts",
                "Alerts that fire now.",
                'count(ALERTS{alertname=~"Weelo.*", alertstate="firing"}) or vector(0)',
                bad_from=1,
            ),
            Figure(
                "PostgreSQL",
                "1: PostgreSQL answers every API process. 0: at least one gets no answer.",
                "min(weelo_database_up)",
                bad_below=1,
            ),
            Figure(
                "Redis",
                "1: Redis answers every API process. 0: at least one gets no answer.",
                "min(weelo_redis_up)",
                bad_below=1,
            ),
            Figure(
                "Last sweep",
                "Seconds since beat swept. Usually at most one.",
                "max(weelo_sweep_last_seconds)",
                "s",
                bad_from=SWEEP_OLD_SECONDS,
            ),
            Figure(
                "Failing checks",
                "Checks of `weelo doctor` that fail.",
                "sum(max by (check) (weelo_check_failing))",
                bad_from=1,
            ),
            Figure(
                "Parked commands",
                "Commands that failed five times.",
                "sum(max by (queue) (weelo_parked))",
                bad_from=1,
            ),
        ],
    )
    slos = Section(
        "Objectives: how fast the error budgets burn (1: they last 30 days)",
        [
            _burn(
                ACCEPT_TO_FRAME, "Accept to frame", "Share of frames later than a second after the accept."
            ),
            _burn(TIMER_LATENESS, "Timer lateness", "Share of timers that fire more than a second late."),
        ],
    )
    work = Section(
        "Work",
        [
            Graph(
                "Oldest command by queue",
                "How long the oldest due command has waited. It grows if there are too few workers, or if they execute nothing.",
                [Query("max by (queue) (weelo_queue_oldest_seconds)", "{{queue}}")],
                "s",
                limit=QUEUE_OLD_SECONDS,
            ),
            Graph(
                "Commands by outcome",
                "Commands, timers and pushes per second. failed: an unexpected error, which is retried.",
                [Query(f"sum by (outcome) (rate(weelo_commands_total[{RATE}]))", "{{outcome}}")],
                "ops",
            ),
            Graph(
                "HTTP responses by status",
                "Responses of the API per second.",
                [Query(f"sum by (status) (rate(weelo_http_requests_total[{RATE}]))", "{{status}}")],
                "reqps",
            ),
            Graph(
                "Requests answered 503 by cause",
                "shed: too much waits in a queue. database: PostgreSQL does not answer.",
                [Query(f"sum by (cause) (rate(weelo_unavailable_total[{RATE}]))", "{{cause}}")],
                "reqps",
            ),
            Graph(
                "Refusals by code",
                "Error responses per second. Many of them are ordinary, such as a truck that is taken.",
                [Query(f"topk(10, sum by (code) (rate(weelo_refusals_total[{RATE}])))", "{{code}}")],
                "reqps",
            ),
            Graph(
                "HTTP duration",
                "Seconds for a response: median, 95 % and 99 %.",
                _quantiles("weelo_http_request_seconds_bucket"),
                "s",
            ),
        ],
    )
    time = Section(
        "Timers",
        [
            Graph(
                "Timer lateness",
                "Seconds from due to fired: median, 95 % and 99 %.",
                _quantiles("weelo_timer_late_seconds_bucket"),
                "s",
                limit=1,
            ),
            Graph(
                "Timers fired",
                "By countdown, or by the sweep. If the sweep's part rises, the broker loses messages or workers are late.",
                [Query(f"sum by (by) (rate(weelo_timers_fired_total[{RATE}]))", "{{by}}")],
                "ops",
            ),
            Graph(
                "Oldest due timer by kind",
                "Seconds since the oldest timer of each kind was due.",
                [Query("max by (name) (weelo_timer_oldest_seconds)", "{{name}}")],
                "s",
            ),
            Graph(
                "Clock skew",
                "How far the clock of each machine differs from PostgreSQL's, ahead or behind.",
                [Query("max by (instance) (abs(weelo_clock_skew_seconds))", "{{instance}}")],
                "s",
                limit=MAX_SKEW_SECONDS,
            ),
        ],
    )
    delivery = Section(
        "Delivery",
        [
            Graph(
                "Transporters online",
                "Transporters with a heartbeat within PRESENCE_TTL_SECONDS.",
                [Query("max(weelo_transporters_online)", "online")],
            ),
            Graph(
                "Sockets",
                "Open WebSockets of all API processes.",
                [Query("sum(weelo_sockets_open)", "open")],
            ),
            Graph(
                "Frames",
                "Frames per second. failed: the client was gone or too slow.",
                [
                    Query(f"sum(rate(weelo_frames_sent_total[{RATE}]))", "sent"),
                    Query(f"sum(rate(weelo_frames_failed_total[{RATE}]))", "failed"),
                ],
                "ops",
            ),
            Graph(
                "Pushes by FCM's response",
                "later: FCM did not accept it now, and the push is retried. gone: the device's token is deleted.",
                [Query(f"sum by (result) (rate(weelo_pushes_total[{RATE}]))", "{{result}}")],
                "ops",
            ),
            Graph(
                "Posts to webhooks by result",
                "All but `delivered` are retried.",
                [Query(f"sum by (result) (rate(weelo_webhook_attempts_total[{RATE}]))", "{{result}}")],
                "ops",
            ),
        ],
    )
    processes = Section(
        "Processes",
        [
            Graph(
                "Processes",
                "Running processes by kind. child: a process of a worker.",
                [Query("sum by (kind) (weelo_processes)", "{{kind}}")],
            ),
            Graph(
                "Starts by kind",
                "Processes that started within an hour. child: a process of a worker.",
                [Query("sum by (kind) (increase(weelo_process_starts_total[1h]))", "{{kind}}")],
            ),
            Graph(
                "Transactions retried",
                "After a serialization failure or a deadlock, per second.",
                [Query(f"sum(rate(weelo_serialization_retries_total[{RATE}]))", "retried")],
                "ops",
            ),
        ],
    )
    return _board(
        "system",
        "Look here first. The numbers at the top are green if the system works.",
        [now, slos, work, time, delivery, processes],
    )


def _market() -> dashboard.Dashboard:
    kind = '{area=~"$area", vehicle_type=~"$vehicle_type"}'

    def last_hour(name: str) -> str:
        return f"sum(increase(weelo_market_{name}_total{kind}[1h]))"

    def by(label: str, name: str, window: str = RATE) -> list[Query]:
        return [
            Query(
                f"sum by ({label}) (rate(weelo_market_{name}_total{kind}[{window}])) * 3600",
                f"{{{{{label}}}}}",
            )
        ]

    now = Section(
        "The last hour",
        [
            Figure("Requests", "Bookings and orders created.", last_hour("requests")),
            Figure("Slots asked", "One for each truck.", last_hour("slots_asked")),
            Figure("Slots won", "Trucks assigned to slots.", last_hour("slots_won")),
            Figure(
                "Fill rate",
                "Slots won for each slot asked. A slot that lost its truck and got another one counts twice.",
                f"{last_hour('slots_won')} / ({last_hour('slots_asked')} > 0)",
                "percentunit",
            ),
            Figure(
                "Against other days",
                "The fill rate, divided by that of the same hour of days before.",
                'min(weelo:fill_ratio:1h{area=~"$area"} / weelo:fill_ratio:usual{area=~"$area"})',
                "percentunit",
                bad_below=FALLEN,
            ),
            Figure(
                "Offers per won slot",
                "How many transporters are asked for each truck.",
                f"{last_hour('offers')} / ({last_hour('slots_won')} > 0)",
            ),
        ],
    )
    demand = Section(
        "Demand and supply",
        [
            Graph(
                "Slots asked and won",
                "Per hour.",
                [
                    Query(f"sum(rate(weelo_market_slots_{what}_total{kind}[{RATE}])) * 3600", what)
                    for what in ("asked", "won")
                ],
            ),
            Graph(
                "Fill rate",
                "Of the last hour, and the usual one of this hour.",
                [
                    Query('weelo:fill_ratio:1h{area=~"$area"}', "{{area}}"),
                    Query('weelo:fill_ratio:usual{area=~"$area"}', "{{area}}, usual"),
                ],
                "percentunit",
            ),
            Graph(
                "Seconds to the first truck",
                "Median, 95 % and 99 %.",
                _quantiles("weelo_market_to_first_seconds_bucket", kind),
                "s",
            ),
            Graph(
                "Seconds until all trucks are found",
                "Median, 95 % and 99 %.",
                _quantiles("weelo_market_to_full_seconds_bucket", kind),
                "s",
            ),
            Graph(
                "Slots won by ring",
                "Per hour. Rising outer rings: transporters near the pickup do not answer.",
                by("ring", "slots_won"),
            ),
            Graph("Offers by ring", "Per hour.", by("ring", "offers")),
        ],
    )
    losses = Section(
        "What was lost, per hour",
        [
            Graph("Slots expired", "By reason.", by("reason", "slots_expired")),
            Graph("Accepts that came too late", "By code.", by("code", "accepts_lost")),
            Graph("Slots cancelled", "By stage.", by("stage", "cancels")),
            Graph("Trucks given back", "By code.", by("code", "given_back")),
            Graph(
                "Drivers who did not answer in time",
                "Their truck is offered to others.",
                [Query(f"sum(rate(weelo_market_driver_timeouts_total{kind}[{RATE}])) * 3600", "timeouts")],
            ),
            Graph("Drivers who declined", "By code.", by("code", "driver_declines")),
        ],
    )
    board = _board(
        "market", "How many requests get trucks, how fast, and why others do not.", [now, demand, losses]
    )
    for label, source in (
        ("area", "weelo_market_requests_total"),
        ("vehicle_type", "weelo_market_slots_asked_total"),
    ):
        board.with_variable(_values(label, f"label_values({source}, {label})"))
    return board


def _queues() -> dashboard.Dashboard:
    one = '{queue="$queue"}'
    queue = Section(
        "$queue",
        [
            Figure("Workers", "Workers that consume the queue.", f"max(weelo_consumers{one})", bad_below=1),
            Figure("Due", "Commands that wait or are executed.", f"max(weelo_queue_depth{one})"),
            Figure(
                "Oldest",
                "How long the oldest has waited.",
                f"max(weelo_queue_oldest_seconds{one})",
                "s",
                bad_from=QUEUE_OLD_SECONDS,
            ),
            Figure(
                "Last consumed",
                "Seconds since a worker consumed a message of the queue.",
                f"max(weelo_queue_last_consumed_seconds{one})",
                "s",
            ),
            Figure(
                "Failing", "Commands that failed and are retried.", f"max(weelo_failing{one})", bad_from=1
            ),
            Figure("Parked", "Commands that failed five times.", f"max(weelo_parked{one})", bad_from=1),
            Graph(
                "Depth and timers",
                "Commands that are due, and timers that are not yet due.",
                [
                    Query(f"max(weelo_queue_depth{one})", "due"),
                    Query(f"max(weelo_timers_pending{one})", "later"),
                ],
            ),
            Graph(
                "From accepted to settled",
                "Seconds, of commands from callers.",
                _quantiles("weelo_command_seconds_bucket", one),
                "s",
            ),
            Graph(
                "Swept",
                "Overdue rows that the sweep took up, per second.",
                [Query(f"sum(rate(weelo_swept_total{one}[{RATE}]))", "swept")],
                "ops",
            ),
        ],
        repeat="queue",
    )
    board = _board("queues", "Each queue: its workers, what waits, and for how long.", [queue])
    return board.with_variable(_values("queue", "label_values(weelo_queue_depth, queue)"))


# --- parts ----------------------------------------------------------------------------------------------


def _burn(slo: Slo, title: str, meaning: str) -> Graph:
    windows = {"5 min": FIVE_MINUTES, "1 h": HOUR, "6 h": SIX_HOURS}
    return Graph(
        title,
        f"{meaning} Objective: {slo.objective:.1%} are in time.",
        [Query(slo.burn_rate(seconds), name) for name, seconds in windows.items()],
        limit=1,
    )


def _quantiles(histogram: str, labels: str = "") -> list[Query]:
    return [
        Query(f"histogram_quantile({share}, sum by (le) (rate({histogram}{labels}[{RATE}])))", name)
        for share, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
    ]


def _values(label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable of the dashboard, with the values of a label. At first all values are selected."""
    return (
        dashboard.QueryVariable(label)
        .label(label.replace("_", " "))
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _board(
    name: Literal["system", "market", "queues"], meaning: str, sections: Sequence[Section]
) -> dashboard.Dashboard:
    board = (
        dashboard.Dashboard(f"Weelo: {name}")
        .uid(f"weelo-{name}")
        .description(meaning)
        .tags(["weelo"])
        .refresh("15s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("source").label("data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("Weelo")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["weelo"])
            .keep_time(True)
        )
    )
    ids = count(1)
    for section in sections:
        row = dashboard.Row(section.title).id(next(ids))
        board.with_row(row.repeat(section.repeat) if section.repeat else row)
        for panel in section.panels:
            built = _figure(panel) if isinstance(panel, Figure) else _graph(panel)
            board.with_panel(built.id(next(ids)))
    return board


def _graph(graph: Graph) -> timeseries.Panel:
    width, height = _GRAPH
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.meaning)
        .datasource(SOURCE)
        .span(width)
        .height(height)
        .unit(graph.unit)
        .min(0)
        .fill_opacity(8)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if graph.limit is not None:
        panel.thresholds(_limits(graph.limit, "transparent", "red"))
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
        )
    for number, query in enumerate(graph.queries):
        panel.with_target(_target(query, chr(ord("A") + number)))
    return panel


def _figure(figure: Figure) -> stat.Panel:
    width, height = _STAT
    panel = (
        stat.Panel()
        .title(figure.title)
        .description(figure.meaning)
        .datasource(SOURCE)
        .span(width)
        .height(height)
        .unit(figure.unit)
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(Query(figure.expr), "A"))
    )
    if figure.bad_from is not None:
        panel.thresholds(_limits(figure.bad_from, "green", "red"))
    elif figure.bad_below is not None:
        panel.thresholds(_limits(figure.bad_below, "red", "green"))
    else:
        panel.thresholds(_limits(None, "blue", ""))
    return panel


def _limits(value: float | None, below: str, above: str) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color=below)]
    if value is not None:
        steps.append(models.Threshold(value=value, color=above))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _target(query: Query, reference: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(reference).datasource(SOURCE).range()
    return target.legend_format(query.legend) if query.legend else target


def _json(board: dashboard.Dashboard) -> str:
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"

"""What processes count about themselves. What can be counted in rows is counted there, when somebody asks."""

from prometheus_client import CollectorRegistry, Counter, Histogram, values

from weelo_workers.metrics import multiprocess_dir

multiprocess_dir.open_dir()
if multiprocess_dir.current_dir() is not None:
    # The library looks for a folder while it is imported, which Flower's plugin for Celery does before we can say.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]

IN_THIS_PROCESS = CollectorRegistry()
"""Everything below, for a process that shares its figures with no other."""

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

COMMANDS = Counter(
    "weelo_commands",
    "Commands, timers and deliveries by what became of them; failed: a try that raised something unexpected",
    ["name", "outcome"],
    registry=IN_THIS_PROCESS,
)
COMMAND_SECONDS = Histogram(
    "weelo_command_seconds",
    "From accepted to settled, of what people asked for",
    ["queue"],
    buckets=_FAST,
    registry=IN_THIS_PROCESS,
)
TIMER_LATE_SECONDS = Histogram(
    "weelo_timer_late_seconds",
    "From due to fired, by the database's clock",
    buckets=_FAST,
    registry=IN_THIS_PROCESS,
)
TIMERS_FIRED = Counter(
    "weelo_timers_fired",
    "By countdown, or by the sweep: a rise of that means that the broker is ill",
    ["by"],
    registry=IN_THIS_PROCESS,
)
SERIALIZATION_RETRIES = Counter(
    "weelo_serialization_retries",
    "Transactions begun again after PostgreSQL broke up a race (40001, 40P01)",
    registry=IN_THIS_PROCESS,
)
PUSHES = Counter(
    "weelo_pushes",
    "Pushes by what FCM said: sent, later (tried again), gone, refused; unsent: no credentials",
    ["result"],
    registry=IN_THIS_PROCESS,
)
SWEPT = Counter(
    "weelo_swept", "Rows that the sweep took up, since nobody had", ["queue"], registry=IN_THIS_PROCESS
)


def initialize() -> None:
    """Show at once, with zero, what may not happen for long: for processes that execute commands."""
    for by in ("countdown", "sweep"):
        TIMERS_FIRED.labels(by)
    for result in ("sent", "later", "gone", "refused", "unsent"):
        PUSHES.labels(result)

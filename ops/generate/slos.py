"""The two service level objectives, and the rules that record how fast their error budgets burn."""

from __future__ import annotations

from dataclasses import dataclass

from ops.generate.pace import Pace

FIVE_MINUTES, HOUR, SIX_HOURS = 300, 3_600, 21_600

FAST_BURN, SLOW_BURN = 14.4, 6.0
"""Burn rates that use up 2 % of the budget of 30 days in an hour, and 5 % of it in six hours.

Source: "The Site Reliability Workbook", chapter "Alerting on SLOs", table 5-8.
"""


@dataclass(frozen=True, slots=True)
class Slo:
    """A service level objective: the share of events that must be good."""

    name: str
    """The value of the counters' label `slo`, and the name in recorded series: `weelo:NAME:burn_rate:5m`."""
    objective: float
    """The share of events that should be good."""
    floor: float
    """The minimum number of events in an hour. With fewer, the burn rate proves nothing: one bad event would be a large
    share."""

    @property
    def total(self) -> str:
        """The counter of all events."""
        return f'weelo_slo_events_total{{slo="{self.name}"}}'

    @property
    def good(self) -> str:
        """The counter of the events that were in time."""
        return f'weelo_slo_good_events_total{{slo="{self.name}"}}'

    @property
    def events(self) -> str:
        """The name of the recorded number of events in the last hour."""
        return f"weelo:{self.name}:events:1h"

    def burn_rate(self, seconds: int) -> str:
        """Return the name of the recorded burn rate over this window. 1: the budget of 30 days lasts 30 days."""
        return f"weelo:{self.name}:burn_rate:{Pace().duration(seconds)}"

    def recordings(self, pace: Pace) -> list[dict[str, str]]:
        """Return the recording rules of the burn rates over 5 minutes, 1 hour and 6 hours, and of the events."""
        events = f"sum(increase({self.total}[{pace.duration(HOUR)}]))"
        return [
            {"record": self.events, "expr": events},
            *(
                {"record": self.burn_rate(seconds), "expr": self._burn_over(pace.duration(seconds))}
                for seconds in (FIVE_MINUTES, HOUR, SIX_HOURS)
            ),
        ]

    def burning(self, rate: float, short: int, long: int, pace: Pace) -> str:
        """Return the condition that the budget burns at this rate over both windows.

        The long window shows that enough of the budget is lost to matter, and the short one that the loss goes on.
        """
        return (
            f"{self.burn_rate(short)} > {rate:g} and {self.burn_rate(long)} > {rate:g}"
            f" and {self.events} >= {pace.at_least(self.floor)}"
        )

    def _burn_over(self, window: str) -> str:
        good, total = (f"sum(rate({counter}[{window}]))" for counter in (self.good, self.total))
        # Without events the division has no result, so no alert fires.
        return f"(1 - {good} / ({total} > 0)) / {1 - self.objective:.4g}"


ACCEPT_TO_FRAME = Slo("accept_to_frame", objective=0.99, floor=20)
TIMER_LATENESS = Slo("timer_lateness", objective=0.999, floor=100)
SLOS = (ACCEPT_TO_FRAME, TIMER_LATENESS)

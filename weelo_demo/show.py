"""What can be seen: a live picture on a terminal, plain lines elsewhere, and a table in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from weelo_demo.act import Act, State
from weelo_demo.chart import Chart
from weelo_demo.fleet import SCATTER_KM, WITHIN_KM, Fleet
from weelo_demo.people import Transporter

PLAIN_WIDTH = 150  # for logs and pipes, which have no width of their own
PICTURES_PER_SECOND = 8
INDENT = 4
WIDE = 130  # columns from which on names need not be cut
MARKS = {State.WAITING: "·", State.DONE: "✓", State.FAILED: "✗", State.PLAYING: "▸"}
COLOURS = {
    State.WAITING: "dim",
    State.DONE: "bold green",
    State.FAILED: "bold red",
    State.PLAYING: "bold cyan",
}
VERDICTS = {State.DONE: "as it should", State.FAILED: "NOT as it should", State.WAITING: "not played"}


class Show:
    """`console`: where. Times are seconds since the curtain rose."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        if not console.is_terminal:
            console.width = PLAIN_WIDTH

    def title(self, url: str) -> None:
        self._console.print(Rule(f"[bold]Weelo[/bold] · real broadcasts, played against {url}", style="cyan"))

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    # --- signing on ---------------------------------------------------------------------------------------

    @contextmanager
    def signing_on(self, fleet: Fleet) -> Iterator[Callable[[Transporter], None]]:
        """Yields what to call for each transporter who is online."""
        size = len(fleet.transporters)
        what = f"{size} transporters of {len(fleet.towns)} towns sign on"
        if not self._console.is_terminal:
            yield self._count_aloud(what, size)
            return
        rows = max(8, min(28, self._console.height - 6))
        chart = Chart(fleet.transporters, WITHIN_KM + SCATTER_KM, rows)
        bar = Progress(TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        task = bar.add_task("", total=size)

        def online(transporter: Transporter) -> None:
            chart.light(transporter)
            bar.advance(task)

        picture = Group(chart, bar)
        with Live(picture, console=self._console, refresh_per_second=PICTURES_PER_SECOND, transient=True):
            yield online

    def _count_aloud(self, what: str, size: int) -> Callable[[Transporter], None]:
        done = 0

        def online(_: Transporter) -> None:
            nonlocal done
            done += 1
            if done % max(1, size // 4) == 0:
                self.say(f"{self.seconds:7.2f}  {what}: {done} of {size}")

        return online

    # --- playing ------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self, acts: Sequence[Act]) -> Iterator[None]:
        """Meanwhile, show what happens in these acts."""
        if self._console.is_terminal:
            with Live(
                console=self._console,
                get_renderable=lambda: self._picture(acts),
                refresh_per_second=PICTURES_PER_SECOND,
                vertical_overflow="crop",
            ):
                yield
            return
        over = threading.Event()
        reader = threading.Thread(target=self._read_out, args=(acts, over), daemon=True)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join(timeout=5.0)

    def _picture(self, acts: Sequence[Act]) -> RenderableType:
        spare = self._console.height - 3 - 2 * len(acts)  # each has its heading and an empty line
        told = [act for act in acts if act.state is not State.WAITING]
        if spare < len(told):
            # A low terminal: the heading of what is over says how it ended.
            told = [act for act in told if act.state is State.PLAYING]
        parts: list[RenderableType] = []
        for act in acts:
            parts.append(self._heading(act))
            if act in told:
                room = max(1, spare // len(told))
                parts.append(Padding(self._newest(act, room), (0, 0, 0, INDENT)))
            parts.append(Text(""))
        return Group(*parts)

    def _heading(self, act: Act) -> RenderableType:
        colour = COLOURS[act.state]
        row = Table.grid(padding=(0, 1))
        mark: RenderableType = Text(MARKS[act.state], style=colour)
        if act.state is State.PLAYING:
            mark = Spinner("dots", style=colour)
        title = Text.assemble(
            (f"{act.scenario.title}", colour), (f"   {act.seconds:.1f} s" if act.began else "", "dim")
        )
        if act.happened:
            title.append(f"   {act.happened}", style="red" if act.state is State.FAILED else "green")
        title.truncate(max(20, self._console.width - 8), overflow="ellipsis")
        row.add_row(mark, Text(f"({act.scenario.letter})", style="dim"), title)
        return row

    def _newest(self, act: Act, room: int) -> RenderableType:
        who = 36 if self._console.width >= WIDE else 22
        lines = []
        for line in act.lines()[-room:]:
            text = Text.assemble(
                (f"{line.at - self._began:7.2f}  ", "dim"),
                f"{line.who:<{who}.{who}}  ",
                (f"{line.event:<26}", "cyan"),
                (line.what, "dim"),
            )
            text.truncate(self._console.width - INDENT, overflow="ellipsis")
            lines.append(text)
        return Group(*lines)

    def _read_out(self, acts: Sequence[Act], over: threading.Event) -> None:
        """Plain lines, each once, as they come."""
        read: set[tuple[float, str]] = set()
        while True:
            last = over.wait(0.25)
            lines = {line for act in acts for line in self._told(act)} - read
            for at, text in sorted(lines):
                self._print_line(f"{at - self._began:7.2f}  {text}")
            read |= lines
            if last:
                return

    def _told(self, act: Act) -> Iterator[tuple[float, str]]:
        letter = f"({act.scenario.letter})"
        if act.began:
            yield act.began, f"{letter} begins: {act.scenario.title}"
        for line in act.lines():
            yield line.at, f"{letter}   {line.who:<36} {line.event:<26} {line.what}"
        if act.state in VERDICTS and act.ended:
            yield act.ended, f"{letter} {VERDICTS[act.state]}: {act.happened}"

    def _print_line(self, text: str, style: str = "") -> None:
        """One line however long: whoever reads a log can scroll."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    # --- the end ------------------------------------------------------------------------------------------

    def table(self, acts: Sequence[Act]) -> None:
        table = Table(title="What happened", title_style="bold", header_style="dim", show_lines=True)
        table.add_column("Scenario", ratio=3)
        table.add_column("What happened", ratio=4)
        table.add_column("How long it took", ratio=4)
        table.add_column("Verdict", no_wrap=True)
        for act in acts:
            steps = [f"{step}: {_time(seconds)}" for step, seconds in act.took]
            steps.append(f"altogether: {_time(act.seconds)}")
            verdict = Text(
                f"{MARKS[act.state]} {VERDICTS.get(act.state, 'cut short')}", style=COLOURS[act.state]
            )
            title = f"({act.scenario.letter}) {act.scenario.title}"
            table.add_row(Text(title), Text(act.happened), Text("\n".join(steps)), verdict)
        self._console.print(table)

    def failure(self, act: Act) -> None:
        """Everything that helps to find out why."""
        self._print_line(f"({act.scenario.letter}) {act.scenario.title}: {act.happened}", "bold red")
        for at, text in list(self._told(act))[-20:]:
            self._print_line(f"{at - self._began:7.2f}  {text}")
        for text in act.history():
            self._print_line(text)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

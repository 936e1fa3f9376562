"""The demo's output: a live picture on a terminal, plain lines elsewhere, and a table at the end."""

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

from weelo_demo.act import Act, Line, State
from weelo_demo.chart import Chart
from weelo_demo.fleet import SCATTER_KM, WITHIN_KM, Fleet
from weelo_demo.people import Transporter

PLAIN_WIDTH = 150  # columns of the output to a log or a pipe, which has no width of its own
PICTURES_PER_SECOND = 8
INDENT = 4
HEADING_INDENT = 6  # columns for the mark and the letter, each with a space after it
WIDE = 130  # on a terminal of this width a line has columns for the name and for the event
NARROW = 100  # on a narrower terminal the table puts the outcome under the scenario's title
# Even on a slow machine the fleet signs on in less time; after this time a hint is printed.
SLOW_SECONDS = 15.0
SLOW = "The system executes commands slowly. If that goes on: `weelo doctor` names the cause, such as a Redis that is full."
MARKS = {
    State.WAITING: "·",
    State.DONE: "✓",
    State.FAILED: "✗",
    State.SKIPPED: "–",
    State.PLAYING: "▸",
}
COLOURS = {
    State.WAITING: "dim",
    State.DONE: "bold green",
    State.FAILED: "bold red",
    State.SKIPPED: "bold yellow",
    State.PLAYING: "bold cyan",
}
VERDICTS = {
    State.DONE: "as it should",
    State.FAILED: "NOT as it should",
    State.SKIPPED: "skipped",
    State.WAITING: "not played",
}
OUTCOME_COLOURS = {State.FAILED: "red", State.SKIPPED: "yellow"}


class Show:
    """Writes the demo's output to `console`. Times are seconds since its creation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        if not console.is_terminal:
            console.width = PLAIN_WIDTH

    def title(self, url: str) -> None:
        self._console.print(Rule("[bold]Weelo[/bold]", style="cyan"))
        self.say(f"Real broadcasts, played against {url}")

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    # --- signing on ---------------------------------------------------------------------------------------

    @contextmanager
    def signing_on(self, fleet: Fleet) -> Iterator[Callable[[Transporter], None]]:
        """Show how many transporters are online. Yields a function to call for each of them."""
        size = len(fleet.transporters)
        what = f"{size} transporters of {len(fleet.towns)} towns sign on"
        late = threading.Timer(SLOW_SECONDS, self.say, (SLOW,))
        late.daemon = True
        late.start()
        try:
            with self._counting(fleet, what, size) as online:
                yield online
        finally:
            late.cancel()

    @contextmanager
    def _counting(self, fleet: Fleet, what: str, size: int) -> Iterator[Callable[[Transporter], None]]:
        if not self._console.is_terminal:
            yield self._count_aloud(what, size)
            return
        rows = max(8, min(28, self._console.height - 6))
        chart = Chart(fleet.transporters, WITHIN_KM + SCATTER_KM, rows)
        bar = Progress(TextColumn(what), BarColumn(12), MofNCompleteColumn(), TimeElapsedColumn())
        task = bar.add_task("", total=size)

        def online(transporter: Transporter) -> None:
            chart.light(transporter)
            bar.advance(task)

        with self._drawing(lambda: Group(chart, bar), transient=True):
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
        """Show these scenarios while the `with` block plays them."""
        if self._console.is_terminal:
            with self._drawing(lambda: self._picture(acts)):
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

    @contextmanager
    def _drawing(self, picture: Callable[[], RenderableType], *, transient: bool = False) -> Iterator[None]:
        """Redraw the picture several times a second while the `with` block runs. `transient`: remove it at the end."""
        live = Live(
            console=self._console,
            get_renderable=picture,
            refresh_per_second=PICTURES_PER_SECOND,
            vertical_overflow="crop",
            transient=transient,
        )
        try:
            with live:
                yield
        finally:
            self._console.show_cursor()  # Live does not show the cursor if Ctrl-C comes just after Live has hidden it

    def _picture(self, acts: Sequence[Act]) -> RenderableType:
        """Return the headings of all acts, with as many of their newest lines as fit the height of the terminal."""
        height = self._console.height - 1
        begun = [act for act in acts if act.state is not State.WAITING]
        playing = [act for act in acts if act.state is State.PLAYING]
        # If the terminal has few rows, parts are left out in this order: the lines of scenarios that have ended, the
        # empty lines, and the outcomes, which the final table shows.
        for shown, gap, outcome in (
            (begun, 1, True),
            (playing, 1, True),
            (playing, 0, True),
            (playing, 0, False),
        ):
            headings = [self._heading(act, outcome) for act in acts]
            used = sum(len(heading) for heading in headings) + gap * len(acts)
            if used + len(shown) <= height:
                break
        room = max(1, (height - used) // max(1, len(shown)))
        parts: list[RenderableType] = []
        for act, heading in zip(acts, headings, strict=True):
            parts.append(self._marked(act, heading))
            if act in shown:
                parts.append(Padding(Group(*self._newest(act, room)), (0, 0, 0, INDENT)))
            parts.extend([Text("")] * gap)
        return Group(*parts)

    def _heading(self, act: Act, outcome: bool) -> list[Text]:
        """Return the act's title and duration as wrapped lines. If `outcome` is set, they include its outcome."""
        title = Text(act.scenario.title, COLOURS[act.state])
        if act.began:
            title.append(f"   {act.seconds:.1f} s", "dim")
        if act.happened and outcome:
            title.append(f"   {act.happened}", OUTCOME_COLOURS.get(act.state, "green"))
        return self._wrapped(title, self._console.width - HEADING_INDENT)

    def _marked(self, act: Act, heading: Sequence[Text]) -> RenderableType:
        """Return the heading with the act's mark and letter in front."""
        colour = COLOURS[act.state]
        playing = act.state is State.PLAYING
        mark: RenderableType = Spinner("dots", style=colour) if playing else Text(MARKS[act.state], colour)
        row = Table.grid(padding=(0, 1))
        row.add_row(mark, Text(f"({act.scenario.letter})", style="dim"), Group(*heading))
        return row

    def _newest(self, act: Act, room: int) -> list[Text]:
        """Return the newest lines of an act that fit into `room` rows, each wrapped."""
        rows: list[Text] = []
        for line in reversed(act.lines()):
            entry = self._entry(line)
            if rows and len(rows) + len(entry) > room:
                break
            rows = entry + rows
        return rows[:room]

    def _entry(self, line: Line) -> list[Text]:
        """Return one line of an act as wrapped rows; the further rows are indented below its text."""
        head = Text(f"{line.at - self._began:7.2f}  ", "dim")
        body = Text.assemble(line.who, " ", (line.event, "cyan"), " ", (line.what, "dim"))
        if self._console.width >= WIDE:
            head.append(f"{line.who:<36}  ", "default")
            head.append(f"{line.event:<26}", "cyan")
            body = Text(line.what, "dim")
        wrapped = self._wrapped(body, self._console.width - INDENT - head.cell_len)
        blank = Text(" " * head.cell_len)
        return [(blank if number else head) + part for number, part in enumerate(wrapped)]

    def _wrapped(self, text: Text, width: int) -> list[Text]:
        """Return the text as lines of at most `width` columns (10 at least). An empty text is one empty line."""
        return list(text.wrap(self._console, max(10, width))) or [Text("")]

    def _read_out(self, acts: Sequence[Act], over: threading.Event) -> None:
        """Print the lines of all acts as they appear, each once."""
        read: set[tuple[float, str]] = set()
        while True:
            last = over.wait(0.25)
            lines = {line for act in acts for line in self._lines_of(act)} - read
            for at, text in sorted(lines):
                self._print_line(f"{at - self._began:7.2f}  {text}")
            read |= lines
            if last:
                return

    def _lines_of(self, act: Act) -> Iterator[tuple[float, str]]:
        letter = f"({act.scenario.letter})"
        if act.began:
            yield act.began, f"{letter} begins: {act.scenario.title}"
        for line in act.lines():
            yield line.at, f"{letter}   {line.who:<36} {line.event:<26} {line.what}"
        if act.state in VERDICTS and act.ended:
            yield act.ended, f"{letter} {VERDICTS[act.state]}: {act.happened}"

    def _print_line(self, text: str, style: str = "") -> None:
        """Print one line without wrapping, because this output is for logs."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    # --- the end ------------------------------------------------------------------------------------------

    def table(self, acts: Sequence[Act]) -> None:
        """Print a row per act, with a legend. On a narrow terminal there are fewer columns."""
        narrow = self._console.width < NARROW
        table = Table(title="What happened", title_style="bold", header_style="dim", show_lines=True)
        table.caption, table.caption_justify = Text(_legend(acts), style="dim"), "left"
        table.add_column("Scenario, and what happened" if narrow else "Scenario", ratio=3)
        if not narrow:
            table.add_column("What happened", ratio=4)
        table.add_column("How long it took", ratio=3 if narrow else 4)
        table.add_column("" if narrow else "Verdict", no_wrap=True)
        for act in acts:
            steps = [f"{step}: {_time(seconds)}" for step, seconds in act.took]
            steps.append(f"altogether: {_time(act.seconds)}")
            mark = MARKS[act.state] if narrow else _verdict(act.state)
            verdict = Text(mark, style=COLOURS[act.state])
            title = f"({act.scenario.letter}) {act.scenario.title}"
            happened = [Text(f"{title}\n{act.happened}")] if narrow else [Text(title), Text(act.happened)]
            table.add_row(*happened, Text("\n".join(steps)), verdict)
        self._console.print(table)

    def failure(self, act: Act) -> None:
        """Print a failed act's last lines and history."""
        self._print_line(f"({act.scenario.letter}) {act.scenario.title}: {act.happened}", "bold red")
        for at, text in list(self._lines_of(act))[-20:]:
            self._print_line(f"{at - self._began:7.2f}  {text}")
        for text in act.history():
            self._print_line(text)


def _verdict(state: State) -> str:
    return f"{MARKS[state]} {VERDICTS.get(state, 'cut short')}"


def _legend(acts: Sequence[Act]) -> str:
    """Return an explanation of the marks and times in the table."""
    marks = ", ".join(_verdict(state) for state in State if any(act.state is state for act in acts))
    return (
        f"{marks}. Each scenario checks every answer and every frame that it should get. "
        '"a → b" is the time from a to b as the app measures it; "altogether" includes waiting for timers.'
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

"""The demo's live view, text lines and table are complete at every width. On a terminal of few lines, less is shown."""

from __future__ import annotations

import io
import time

import httpx
import pytest
from rich.cells import cell_len
from rich.console import Console

from weelo_demo.act import Act, NotAsItShould, Scenario
from weelo_demo.fleet import Fleet, cast
from weelo_demo.people import Installation
from weelo_demo.scenarios import PROGRAMME
from weelo_demo.show import PLAIN_WIDTH, Show

NOBODY = Installation("http://127.0.0.1:1", "0" * 32, httpx.Client())
FAR = (
    "Driver 2 of Transporter 12 of Muzaffarnagar",
    "new_broadcast",
    "2 × Open 17 Feet, 1 × Container 20 Feet, 41.3 km away (step 3)",
)
NEAR = ("The customer", "broadcast_state_changed", "partially_filled, 1 of 3 trucks, 31 told within 25 km")
OUTCOME = "REQUEST_ALREADY_TAKEN while it lasted; then Transporter 12 of Muzaffarnagar won, and another came too late"


def played() -> list[Act]:
    """Run one `Act` for each scenario of the programme, each with the same events. Only the last one fails."""

    def play(act: Act) -> str:
        act.note(*FAR)
        act.note(*NEAR)
        act.measured("another accept → fully filled", 0.123)
        if act is acts[-1]:
            raise NotAsItShould(OUTCOME)
        return OUTCOME

    acts = [Act(Scenario(each.letter, each.title, play, each.long), NOBODY, Fleet([])) for each in PROGRAMME]
    for act in acts:
        act.run()
    return acts


def on(width: int, height: int = 200) -> tuple[Show, Console, io.StringIO]:
    paper = io.StringIO()
    console = Console(file=paper, width=width, height=height, force_terminal=True, color_system=None)
    return Show(console), console, paper


WIDTHS = pytest.mark.parametrize("width", [60, 80, 120, 200])


@WIDTHS
def test_the_picture_shows_every_line_whole(width: int) -> None:
    acts = played()
    show, console, paper = on(width)
    console.print(show._picture(acts))
    drawn = paper.getvalue()
    assert max(cell_len(line) for line in drawn.splitlines()) <= width
    words = " ".join(drawn.split())
    for act in acts:
        assert act.scenario.title in words
    assert words.count(OUTCOME) == len(acts)
    for entry in (FAR, NEAR):
        assert words.count(" ".join(entry)) == len(acts)


@WIDTHS
@pytest.mark.parametrize("height", [24, 40])
def test_the_picture_is_no_higher_than_the_terminal_and_shows_the_state_of_each_act(
    width: int, height: int
) -> None:
    acts = played()
    show, console, paper = on(width, height)
    console.print(show._picture(acts))
    drawn = paper.getvalue()
    assert len(drawn.splitlines()) <= height
    for act in acts:
        assert act.scenario.title in " ".join(drawn.split())


@WIDTHS
def test_the_table_is_whole_and_has_a_legend(width: int) -> None:
    acts = played()
    show, _, paper = on(width)
    show.table(acts)
    drawn = paper.getvalue()
    assert max(cell_len(line) for line in drawn.splitlines()) <= width
    assert "…" not in drawn
    words = " ".join(drawn.split())
    assert "✓ as it should" in words and "✗ NOT as it should" in words
    assert '"a → b" is the time from a to b' in words
    assert words.count("123") == len(acts)


@WIDTHS
def test_the_beginning_is_whole(width: int) -> None:
    show, _, paper = on(width, 30)
    show.title("http://transport.example.org:8000")
    with show.signing_on(cast(NOBODY)) as online:
        online(cast(NOBODY).transporters[0])
        time.sleep(0.3)
    drawn = paper.getvalue()
    assert "…" not in drawn
    assert "transporters of" in drawn and "sign on" in drawn
    assert "played against http://transport.example.org:8000" in " ".join(drawn.split())


def test_without_a_terminal_each_line_is_one_line_however_long() -> None:
    acts = played()
    paper = io.StringIO()
    show = Show(Console(file=paper))
    with show.watching(acts):
        pass
    show.table(acts)
    lines = paper.getvalue().splitlines()
    assert "\x1b" not in paper.getvalue()
    assert sum(line.endswith(FAR[2]) for line in lines) == len(acts)
    assert sum(line.endswith(OUTCOME) for line in lines) == len(acts)
    assert max(cell_len(line) for line in lines if line.startswith(("┏", "┃", "│"))) <= PLAIN_WIDTH

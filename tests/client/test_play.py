"""When the demo cannot begin it says why plainly; when a scenario goes wrong it says that and goes on."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable

import httpx
import pytest
from rich.console import Console

from tests.client.scripted_api import ScriptedApi
from weelo_client import Refused
from weelo_demo import play
from weelo_demo.act import Act, NotAsItShould, Scenario, State, together
from weelo_demo.fleet import Fleet
from weelo_demo.people import Installation
from weelo_demo.show import Show

SECRET = "a secret of at least thirty-two bytes"


def played(url: str) -> tuple[int, str]:
    paper = io.StringIO()
    code = play(url, SECRET, Console(file=paper, width=200))
    return code, paper.getvalue()


def test_nobody_there() -> None:
    with socket.socket() as reserved:  # bound, not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        code, said = played(f"http://127.0.0.1:{reserved.getsockname()[1]}")
    assert code == 2
    assert "weelo up" in said


def test_not_ready(api: ScriptedApi) -> None:
    api.answers = [(503, {"database": "away"})]
    code, said = played(api.url)
    assert code == 2
    assert "not ready" in said


def test_another_secret(api: ScriptedApi) -> None:
    api.answers = [(200, {}), (401, {"code": "UNAUTHORIZED", "status": 401})]
    code, said = played(api.url)
    assert code == 2
    assert "does not accept tokens signed with this secret" in said


@pytest.mark.parametrize("trouble", [NotAsItShould("two winners for one truck"), ValueError("two winners")])
def test_a_scenario_that_goes_wrong_is_shown_with_its_history(api: ScriptedApi, trouble: Exception) -> None:
    def go_wrong(act: Act) -> str:
        act.note("The customer", "asks", "1 × Open 17 Feet")
        raise trouble

    act = act_of(api, go_wrong)
    act.run()
    assert act.state is State.FAILED
    paper = io.StringIO()
    show = Show(Console(file=paper))
    show.table([act])
    show.failure(act)
    assert "NOT as it should" in paper.getvalue()
    assert "two winners" in paper.getvalue()
    assert "1 × Open 17 Feet" in paper.getvalue()


def test_together_returns_refusals_and_raises_everything_else() -> None:
    def refuse() -> str:
        raise Refused("BROADCAST_FILLED", {"status": 409})

    won, lost = together([lambda: "won", refuse])
    assert won == "won"
    assert isinstance(lost, Refused)
    with pytest.raises(ZeroDivisionError):
        together([lambda: 1.0, lambda: 1 / 0])


def act_of(api: ScriptedApi, script: Callable[[Act], str]) -> Act:
    installation = Installation(api.url, SECRET, httpx.Client())
    return Act(Scenario("x", "A scenario", script), installation, Fleet([]))

"""The demo prints why it cannot start. If a scenario fails, the demo shows the failure and plays the other scenarios."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable

import httpx
import pytest
from rich.console import Console

import weelo_demo
import weelo_demo.fleet
import weelo_demo.show
from tests.client.scripted_api import ScriptedApi
from tests.support.waiting import eventually
from weelo_client import Frame, Rejected, Unreachable
from weelo_client.frames import FrameBuffer
from weelo_demo import play
from weelo_demo.act import Act, NotAsItShould, Scenario, Skipped, State, together
from weelo_demo.fleet import Fleet
from weelo_demo.people import Customer, Installation, Transporter
from weelo_demo.scenarios import PROGRAMME, never_sets_out
from weelo_demo.show import Show
from weelo_demo.towns import CONNAUGHT_PLACE, Town

SECRET = "a secret of at least thirty-two bytes"


class ListeningCustomer(Customer):
    """A customer without a socket. Frames are added to `received`."""

    def __init__(self, installation: Installation, name: str) -> None:
        super().__init__(installation, name)
        self.received = FrameBuffer(10)

    def listen(self) -> FrameBuffer:  # type: ignore[override]
        return self.received


def played(url: str) -> tuple[int, str]:
    paper = io.StringIO()
    code = play(url, SECRET, Console(file=paper, width=200))
    return code, paper.getvalue()


def test_without_an_api_the_demo_ends_with_advice() -> None:
    with socket.socket() as reserved:  # the port refuses connections, because the socket does not listen
        reserved.bind(("127.0.0.1", 0))
        code, output = played(f"http://127.0.0.1:{reserved.getsockname()[1]}")
    assert code == 2
    assert "weelo up" in output


def test_with_an_api_that_is_not_ready_the_demo_ends(api: ScriptedApi) -> None:
    api.answers = [(503, {"database": "away"})]
    code, output = played(api.url)
    assert code == 2
    assert "not ready" in output


HTML = b"<!doctype html>\n<html>\n<head><title>A shop</title></head>\n<body><h1>Not here</h1></body>\n</html>"


@pytest.mark.parametrize("status", [200, 302, 404, 503])
def test_with_an_address_that_is_not_weelos_the_demo_ends_with_one_line(
    api: ScriptedApi, status: int
) -> None:
    api.answers = [(status, HTML, {"Content-Type": "text/html"})]
    code, output = played(api.url)
    assert code == 2
    [line] = output.splitlines()[2:]
    assert line.startswith(f"The demo cannot begin. {api.url} is not Weelo: it answers {status}")
    assert "<" not in line


def test_why_the_fleet_cannot_sign_on_is_printed_before_anybody_signs_off(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign-off of two hundred transporters may take minutes on a broken system, so the reason is printed first."""
    paper = io.StringIO()

    def refuse(_: Transporter) -> None:
        raise Unreachable("away")

    monkeypatch.setattr(Transporter, "sign_on", refuse)
    monkeypatch.setattr(Transporter, "sign_off", lambda _: pytest.fail("nobody is online"))
    leave = Fleet.leave

    def leaving(fleet: Fleet) -> None:
        assert "The fleet could not sign on: away" in paper.getvalue()
        leave(fleet)

    monkeypatch.setattr(Fleet, "leave", leaving)
    api.answers = [(200, {"status": "ready"}), (404, {"code": "NOT_FOUND", "status": 404})]
    assert play(api.url, SECRET, Console(file=paper, width=200)) == 2


def test_a_system_that_executes_slowly_is_named_while_the_fleet_signs_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weelo_demo.show, "SLOW_SECONDS", 0.05)
    paper = io.StringIO()
    with Show(Console(file=paper, width=200)).signing_on(Fleet([])):
        eventually(lambda: "`weelo doctor` names the cause" in paper.getvalue())


def test_with_another_secret_the_demo_ends(api: ScriptedApi) -> None:
    api.answers = [(200, {}), (401, {"code": "UNAUTHORIZED", "status": 401})]
    code, output = played(api.url)
    assert code == 2
    assert "does not accept tokens signed with this secret" in output


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


def test_the_timelines_of_a_failed_scenario_are_read_before_the_demo_ends(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_and_go_wrong(act: Act) -> str:
        act.about(Customer(act._installation, "The customer"), "b-1")
        raise NotAsItShould("two winners for one truck")

    monkeypatch.setattr(weelo_demo, "cast", lambda _: Fleet([]))
    monkeypatch.setattr(weelo_demo, "PROGRAMME", [Scenario("a", "A truck", ask_and_go_wrong)])
    api.answers = [(200, {}), (404, {"code": "NOT_FOUND", "status": 404}), (200, {"items": []})]
    code, output = played(api.url)
    assert code == 1
    assert "0 of 1 scenarios" in output
    assert api.requests[-1].path.startswith("/api/v1/broadcasts/b-1/timeline")


def test_a_scenario_that_this_server_cannot_play_is_skipped_and_is_no_failure(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skip(_: Act) -> str:
        raise Skipped("START_LIMIT_SECONDS is longer")

    scenarios = [Scenario("a", "A truck", lambda _: "delivered"), Scenario("b", "A stalled truck", skip)]
    monkeypatch.setattr(weelo_demo, "cast", lambda _: Fleet([]))
    monkeypatch.setattr(weelo_demo, "PROGRAMME", scenarios)
    monkeypatch.setattr(weelo_demo, "PAUSE_SECONDS", 0)
    api.answers = [(200, {}), (404, {"code": "NOT_FOUND", "status": 404})]
    code, output = played(api.url)
    assert code == 0
    assert "1 of 2 scenarios ended as they should, 1 skipped, with" in output
    assert "(b) skipped: START_LIMIT_SECONDS is longer" in output


def test_a_driver_who_never_sets_out_is_skipped_if_no_timer_acts_in_time(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(never_sets_out, "PATIENCE_SECONDS", 0.1)
    customer, act = ListeningCustomer(installation_of(api), "The customer"), act_of(api, lambda _: "")
    with pytest.raises(Skipped, match=r"no pickup_reminder within .* START_REMINDER_SECONDS is longer, or 0"):
        never_sets_out.wait_for_timer(act, customer, "pickup_reminder", "b-1", "START_REMINDER_SECONDS")


def test_a_transporter_that_has_signed_on_stays_present_while_others_sign_on(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = threading.Event()

    def sign_on(transporter: Transporter) -> None:
        if transporter.name == "the last":
            assert received.wait(5), "the first transporter sent no further heartbeat"

    monkeypatch.setattr(Transporter, "sign_on", sign_on)
    monkeypatch.setattr(Transporter, "still_here", lambda _: received.set())
    monkeypatch.setattr(Transporter, "sign_off", lambda _: None)
    monkeypatch.setattr(weelo_demo.fleet, "HEARTBEAT_SECONDS", 0.05)
    town = Town("Delhi", CONNAUGHT_PLACE, 1, "DL")
    names = ("the first", "the last")
    with Fleet([Transporter(installation_of(api), name, town, CONNAUGHT_PLACE) for name in names]) as fleet:
        fleet.sign_on()


def test_an_order_that_is_left_over_is_cancelled_as_an_order(api: ScriptedApi) -> None:
    def leave_it_open(act: Act) -> str:
        customer = Customer(installation_of(api), "The customer")
        act.about(customer, "b-1")
        act.about(customer, "o-1", "order")
        return "asked for"

    api.answers = [(202, {"commandId": "c-1", "status": "pending"})]
    act_of(api, leave_it_open).run()
    paths = [request.path for request in api.requests]
    assert paths == ["/api/v1/bookings/b-1/cancel", "/api/v1/orders/o-1/cancel"]


def test_waiting_after_a_frame_considers_later_frames_only(api: ScriptedApi) -> None:
    customer, act = ListeningCustomer(installation_of(api), "The customer"), act_of(api, lambda _: "")
    first, second = (Frame("new_broadcast", {"broadcastId": "b-1"}, seq) for seq in (1, 2))
    customer.received.add(first)
    assert act.hears(customer, "new_broadcast", broadcastId="b-1") is first
    with pytest.raises(NotAsItShould, match="waits for new_broadcast"):
        act.hears(customer, "new_broadcast", within=0.1, after=first)
    customer.received.add(second)
    assert act.hears(customer, "new_broadcast", after=first) is second


def test_a_refusal_with_another_code_than_expected_is_a_failure(api: ScriptedApi) -> None:
    def refuse() -> None:
        raise Rejected("BROADCAST_FILLED", {"status": 409, "remaining": 0})

    act, person = act_of(api, lambda _: ""), Customer(installation_of(api), "Somebody")
    answer = act.refused(person, "accepts", refuse, code="BROADCAST_FILLED")
    assert answer.problem["remaining"] == 0
    with pytest.raises(NotAsItShould, match="reads BROADCAST_FILLED instead of HOLD_EXPIRED"):
        act.refused(person, "accepts", refuse, code="HOLD_EXPIRED")
    with pytest.raises(NotAsItShould, match="granted instead of refused with HOLD_EXPIRED"):
        act.refused(person, "accepts", lambda: None, code="HOLD_EXPIRED")


@pytest.mark.parametrize("over", range(sum(not each.long for each in PROGRAMME)))
def test_the_whole_programme_fits_on_a_terminal_of_24_lines(api: ScriptedApi, over: int) -> None:
    """`over`: the number of short scenarios that have ended. The next short scenario and all long ones are running."""
    acts = [Act(scenario, installation_of(api), Fleet([])) for scenario in PROGRAMME]
    short = [act for act in acts if not act.scenario.long]
    for act in (*short[: over + 1], *(act for act in acts if act.scenario.long)):
        act.state = State.DONE if act in short[:over] else State.PLAYING
        for number in range(3):
            act.note("The customer", "asks", f"{number} × Open 17 Feet")
    paper = io.StringIO()
    console = Console(file=paper, width=80, height=24, force_terminal=True)
    console.print(Show(console)._picture(acts), end="")
    assert len(paper.getvalue().splitlines()) <= 24


def test_together_returns_refusals_and_raises_everything_else() -> None:
    def refuse() -> str:
        raise Rejected("BROADCAST_FILLED", {"status": 409})

    won, lost = together([lambda: "won", refuse])
    assert won == "won"
    assert isinstance(lost, Rejected)
    with pytest.raises(ZeroDivisionError):
        together([lambda: 1.0, lambda: 1 / 0])


def installation_of(api: ScriptedApi) -> Installation:
    return Installation(api.url, SECRET, httpx.Client())


def act_of(api: ScriptedApi, script: Callable[[Act], str]) -> Act:
    return Act(Scenario("x", "A scenario", script), installation_of(api), Fleet([]))

"""The demo: plays real broadcasts in the towns around Delhi through the public API alone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from io import TextIOWrapper

import httpx
from rich.console import Console
from rich.markup import escape

from weelo_client import Rejected, WeeloError, open_pool
from weelo_demo.act import Act, State
from weelo_demo.fleet import Fleet, cast
from weelo_demo.people import Customer, Installation
from weelo_demo.scenarios import PROGRAMME
from weelo_demo.show import Show
from weelo_demo.terminal import show_cursor_when_terminated

__all__ = ["play", "show_cursor_when_terminated"]

AS_IT_SHOULD, NOT_AS_IT_SHOULD, NOT_PLAYED, INTERRUPTED = 0, 1, 2, 130
# Connections in the pool: for thirty racers, twelve concurrent requests of the fleet, and some reads.
CONNECTIONS = 64
CHECK_SECONDS = 5.0
# The pause between two scenarios, so that people can follow the output. It does not stop scenarios that are played at
# the same time.
PAUSE_SECONDS = 2.0


class NotPlayable(Exception):
    """The demo cannot begin. The message names the remedy."""


def play(url: str, secret: str, console: Console | None = None, *, audience: str | None = None) -> int:
    """Play every scenario against the installation at `url`, and show it on `console` (by default standard output).

    Tokens are signed with `secret`; `audience` is their `aud`, if the installation requires one. Returns the exit code:
    0 if every scenario ended as it should or was skipped (its timers are too long on this server), 1 if one did not, 2 if
    the demo could not begin, 130 if it was interrupted.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # Replace letters that the terminal's encoding lacks, such as some in the towns' names.
        sys.stdout.reconfigure(errors="replace")
    show = Show(console or Console())
    try:
        with ExitStack() as stage:
            http = stage.enter_context(open_pool(url, CONNECTIONS))
            installation = Installation(url, secret, http, audience)
            show.title(url)
            try:
                _check_server(installation)
                fleet = stage.enter_context(cast(installation))
                verdict = _close(show, _play(show, installation, fleet), fleet)
            except NotPlayable as why:
                show.say(f"[bold red]The demo cannot begin.[/bold red] {escape(str(why))}")
                return NOT_PLAYED
            show.say("Everybody goes offline.")
    except KeyboardInterrupt:
        show.say("Interrupted; everybody is offline.")
        return INTERRUPTED
    return verdict


def _check_server(installation: Installation) -> None:
    """Raise NotPlayable unless the server answers, is ready and accepts our tokens."""
    try:
        answer = installation.http.get(f"{installation.url}/readyz", timeout=CHECK_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as unreachable:
        raise NotPlayable(
            f"Nobody answers on {installation.url} ({unreachable}). Start the system with `weelo up`, or name "
            "another one with --url."
        ) from None
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise NotPlayable(
            f"{installation.url} is not Weelo: it answers {answer.status_code} to /readyz, without JSON. Name another with --url."
        )
    if answer.status_code != httpx.codes.OK:
        reason = body.get("reason") or "it gives no reason"
        raise NotPlayable(f"{installation.url} is not ready (status {answer.status_code}): {reason}")
    try:
        Customer(installation, "Somebody at the door").client.current_broadcast()
    except Rejected as refused:
        if refused.status != httpx.codes.UNAUTHORIZED:
            raise NotPlayable(f"{installation.url} says {refused}") from None
        raise NotPlayable(
            f"{installation.url} does not accept tokens signed with this secret. Use the data "
            "dir (--data-dir) or the JWT_SECRET of that installation."
        ) from None
    except WeeloError as error:
        raise NotPlayable(str(error)) from None


def _play(show: Show, installation: Installation, fleet: Fleet) -> list[Act]:
    with show.signing_on(fleet) as online:
        try:
            fleet.sign_on(online)
        except WeeloError as error:
            raise NotPlayable(f"The fleet could not sign on: {error}") from None
    acts = [Act(scenario, installation, fleet) for scenario in PROGRAMME]
    with show.watching(acts):
        _side_by_side(
            [*([act] for act in acts if act.scenario.long), [act for act in acts if not act.scenario.long]]
        )
    return acts


def _side_by_side(lanes: Sequence[Sequence[Act]]) -> None:
    """Play several lists of acts at the same time, the acts of each list in order.

    The threads are daemons, so Ctrl-C ends them.
    """

    def run(lane: Sequence[Act]) -> None:
        for act in lane:
            if act is not lane[0]:
                time.sleep(PAUSE_SECONDS)
            act.run()

    threads = [threading.Thread(target=run, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(timeout=0.2)  # Ctrl-C interrupts only a `join` with a timeout


def _close(show: Show, acts: Sequence[Act], fleet: Fleet) -> int:
    """Show the results, with the timelines of failed scenarios, and return the exit code."""
    show.table(acts)
    skipped = sum(act.state is State.SKIPPED for act in acts)
    failed = [act for act in acts if act.state not in (State.DONE, State.SKIPPED)]
    for act in failed:
        show.failure(act)
    succeeded = len(acts) - len(failed) - skipped
    others = f", {skipped} skipped," if skipped else ","
    colour = "red" if failed else "green"
    show.say(
        f"[bold {colour}]{succeeded} of {len(acts)} scenarios ended as they should[/bold {colour}]{others} with "
        f"{len(fleet.transporters)} transporters and {len(fleet.trucks)} trucks, in {show.seconds:.0f} s."
    )
    return NOT_AS_IT_SHOULD if failed else AS_IT_SHOULD

"""Every user's log is complete and every list of open offers correct, whatever fails while requests come and go.

Many transporters listen, each on its own socket. Customers book, cancel or let requests expire; transporters accept and
decline. Meanwhile sockets are cut, and API processes, workers and Redis are killed. In the end every client must have
received the server's log line by line, and its list of open offers, built from frames alone, must equal the server's.

`WEELO_SEED=… pytest tests/faults/crowd` runs the script of another seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.faults.crowd.listener import WITHDRAWALS
from tests.faults.crowd.playing import QUIET_WITHIN, SETTINGS, Crowd
from tests.faults.crowd.script import BROADCASTS, LISTENERS, PLAY_SECONDS, Script
from tests.faults.fault_system import FaultSystem
from tests.faults.heard_log import Line
from tests.support.system import doctor
from tests.support.waiting import eventually
from weelo_client.channel import FINAL_CODES

SEED = int(os.environ.get("WEELO_SEED") or 1)

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("faults"),
    pytest.mark.timeout(150 + PLAY_SECONDS + 2 * QUIET_WITHIN),
]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Yield the crowd after the script was run and the server's state was read."""
    print(f"WEELO_SEED={SEED} WEELO_LISTENERS={LISTENERS} WEELO_BROADCASTS={BROADCASTS}")  # noqa: T201 (how to repeat the run)
    dice = random.Random(SEED)
    with (
        FaultSystem(tmp_path_factory.mktemp("crowd") / "system.log", SETTINGS) as fault_system,
        Crowd(fault_system) as crowd,
    ):
        try:
            crowd.gather(dice)
            crowd.play(Script.of(dice))
            crowd.compare(dice)
            yield crowd
        finally:
            print(crowd.summary())  # noqa: T201 (the figures of the run)


def test_SOCK_01_every_phone_has_heard_its_whole_log_in_order_and_nothing_else(crowd: Crowd) -> None:
    assert crowd.exchange is not None and crowd.exchange.failed is None
    for each, log in zip(crowd.listeners, crowd.logs, strict=True):
        assert [line["seq"] for line in log] == list(range(1, len(log) + 1))
        assert each.cards.lines == [Line.written(line) for line in log]


def test_SOCK_01_no_connection_left_out_repeated_or_changed_a_line(crowd: Crowd) -> None:
    assert [wrong for each in crowd.listeners for wrong in each.cards.wrong] == []


def test_CNCL_03_a_list_made_of_frames_alone_is_the_servers_list(crowd: Crowd) -> None:
    assert any(from_frames for _, from_frames, _ in crowd.listed), (
        "no list was compared while something was on it"
    )
    assert [each for each in crowd.listed if each[1] != each[2]] == []


def test_BCAST_05_every_notified_transporter_received_each_withdrawal_once(crowd: Crowd) -> None:
    cards = {each.id: each.cards for each in crowd.listeners}
    offered = crowd.fault_system.rows(
        "SELECT o.transporter_id, o.broadcast_id, b.status FROM offers o JOIN broadcasts b ON b.id = o.broadcast_id"
    )
    assert offered
    for row in offered:
        withdrawals = cards[row.transporter_id].withdrawn[str(row.broadcast_id)]
        # A filled request may be cancelled later. Then both withdrawals are received: first filled, then cancelled.
        assert withdrawals[-1:] == [WITHDRAWALS[row.status]] and len(withdrawals) == len(set(withdrawals)), (
            row,
            withdrawals,
        )


def test_no_socket_got_a_final_close_code_and_the_doctor_finds_nothing(crowd: Crowd) -> None:
    assert all(crowd.deaths[process] for process in ("an API process", "workers", "Redis"))
    assert not [phone.turned_away for phone in crowd.phones if phone.turned_away.keys() & FINAL_CODES]
    # the doctor is repeated, because restarted workers report to Redis only every few seconds
    eventually(lambda: not doctor(crowd.fault_system.system), within=60)

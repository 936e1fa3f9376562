"""The examples of docs/apps.md run as they are printed there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "apps.md"


SERVER = "http://127.0.0.1:8000"
NODE = shutil.which("node")


def block(language: str, number: int = 1) -> str:
    """Return the text of the page's code block with this number in this language."""
    return DOCUMENT.read_text().split(f"```{language}\n")[number].split("```", 1)[0]


def start(
    program: list[str], code: str, system: System, role: Role, user: UUID | None = None
) -> subprocess.Popen[str]:
    """Start one of the page's examples against `system`, as a user of this role."""
    assert code.count(SERVER) == 1
    return subprocess.Popen(
        [*program, code.replace(SERVER, system.url)],
        env={**os.environ, "TOKEN": token(role, user or uuid4())},
        stdout=subprocess.PIPE,
        text=True,
    )


def in_python(number: int, system: System, role: Role) -> subprocess.Popen[str]:
    return start([sys.executable, "-c"], block("python", number), system, role)


def in_javascript(system: System, role: Role) -> subprocess.Popen[str]:
    assert NODE is not None
    program = [NODE, "--experimental-websocket", "--no-warnings", "--input-type=module", "--eval"]
    return start(program, block("js"), system, role)


def a_truck_is_won(system: System, ask: Callable[[], subprocess.Popen[str]]) -> None:
    """Run the example of a fleet beside an example of a customer, and check what both print."""
    fleet = in_python(2, system, Role.TRANSPORTER)
    assert fleet.stdout is not None and fleet.stdout.readline() == "online\n"
    asked, _ = ask().communicate(timeout=60)
    won, _ = fleet.communicate(timeout=60)
    event, number = asked.split()
    assert (event, number[:5], won) == ("truck_confirmed", "DL1LA", "fully_filled\n")


def test_the_two_examples_of_the_documentation_match_a_request_with_a_fleet(system: System) -> None:
    a_truck_is_won(system, lambda: in_python(1, system, Role.CUSTOMER))


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_the_example_in_javascript_asks_for_a_truck_and_receives_the_result(system: System) -> None:
    a_truck_is_won(system, lambda: in_javascript(system, Role.CUSTOMER))


def functions_in_javascript(then: str, system: System, bearer: str) -> subprocess.CompletedProcess[str]:
    """Run the page's two functions in JavaScript, and then these statements, until the program ends by itself."""
    assert NODE is not None
    functions, _, _ = block("js").replace(SERVER, system.url).partition("const booking = ")
    return subprocess.run(
        [
            NODE,
            "--experimental-websocket",
            "--no-warnings",
            "--input-type=module",
            "--eval",
            functions + then,
        ],
        env={**os.environ, "TOKEN": bearer},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_the_example_in_javascript_does_not_repeat_a_recorded_outcome(system: System) -> None:
    then = """
        for (let number = 1; number <= 11; number++)
          await command("PUT", "/transporter/availability", { isAvailable: number % 2 === 1 })
            .catch((error) => console.log(number, error.message));
    """
    ended = functions_in_javascript(then, system, token(Role.TRANSPORTER, uuid4()))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "11 TOGGLE_RATE_LIMITED\n", "")


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_the_example_in_javascript_does_not_connect_again_with_a_token_that_was_refused(
    system: System,
) -> None:
    ended = functions_in_javascript(
        "listen(() => 0); await command('PUT', '/transporter/availability', { isAvailable: true });",
        system,
        token(Role.TRANSPORTER, uuid4(), ttl=-60),
    )
    assert ended.returncode == 1 and "TOKEN_EXPIRED" in ended.stderr
    ended = functions_in_javascript("listen(() => 0);", system, token(Role.CUSTOMER, uuid4(), ttl=-60))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_IDEM_01_the_example_for_the_shell_makes_one_booking(system: System) -> None:
    user = uuid4()
    shell = start(["bash", "-euc"], block("sh"), system, Role.CUSTOMER, user)
    printed, _ = shell.communicate(timeout=60)
    answers = [
        answer.replace("\r", "").partition("\n\n") for answer in re.split(r"(?=HTTP/1\.1 )", printed)[1:]
    ]
    statuses = [int(head.split()[1]) for head, _, _ in answers]
    assert statuses == [201, 201, 202, 200]
    first, second = (json.loads(body)["id"] for _, _, body in answers[:2])
    assert first == second
    assert "Idempotency-Replayed: true" in answers[1][0]
    assert "Location: /api/v1/commands/" in answers[2][0]
    assert json.loads(answers[3][2])["items"][0]["seq"] == 1
    # The command of the third request is executed after its 202. Without this wait, it might run during the next test.
    command, customer = json.loads(answers[2][2])["commandId"], system.http(Role.CUSTOMER, user)
    eventually(lambda: customer.get(f"/commands/{command}").json()["status"] != "pending", within=30)
    # An open booking would be offered to the fleets of the next tests.
    assert customer.put(f"/bookings/{first}/cancel").status_code == 200

"""`weelo person` prints what it did or what to wait for, and its exit codes tell these cases apart."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from click.testing import CliRunner, Result

from tests.personal.scene import Scene
from tests.support.world import World
from weelo_workers import cli
from weelo_workers.models import Base
from weelo_workers.person import submitting
from weelo_workers.person.columns import TABLES


def weelo(*arguments: str) -> Result:
    """Run the command in this process, which has the settings of the tests."""
    return CliRunner().invoke(cli.weelo, ["person", *arguments])


@contextmanager
def worker(world: World) -> Iterator[None]:
    """Execute due commands in another thread within the block, as workers do."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            world.drain()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=30)


def test_an_erasure_and_a_repetition(world: World) -> None:
    scene = Scene(world).play()
    with worker(world):
        first = weelo("erase", str(scene.driver.id), "--reason", "a letter")
        again = weelo("erase", str(scene.driver.id))
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    assert "erased; rows changed: " in first.output and "drivers 1" in first.output
    assert "none, nothing was left to erase" in again.output


def test_a_refusal_names_what_is_under_way(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    scene.book()
    with worker(world):
        result = weelo("erase", str(scene.customer.id))
    assert result.exit_code == 1
    assert f"Broadcast {scene.broadcast} is active: wait for its end, or have it cancelled." in result.output


def test_a_time_that_is_too_short_says_that_it_goes_on(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    result = weelo("erase", str(scene.customer.id), "--wait", "0")
    assert result.exit_code == 1
    assert "not finished yet" in result.output and "it goes on by itself" in result.output


def test_an_unknown_id(world: World) -> None:
    stranger = str(uuid4())
    exported = weelo("export", stranger)
    with worker(world):
        erased = weelo("erase", stranger)
    for result in (exported, erased):
        assert getattr(result.exception, "exit_code", None) == 2
        assert "othing is stored about a user with this id" in str(result.exception)


def test_a_parked_erasure_says_how_to_go_on(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    command = submitting.submit(world.engine, scene.customer.id, "")
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE mailbox SET parked_at = now(), attempts = 5, last_error = 'E: x' WHERE name = 'person.erase'"
        )
    result = submitting.wait(world.engine, command, 5)
    assert result.status is submitting.Status.UNFINISHED
    assert f"weelo mailbox retry {command}" in result.text


def test_an_export_is_printed_also_to_a_file_called_minus(world: World) -> None:
    """`--out -` means standard output, as in many programs."""
    scene = Scene(world)
    scene.prepare()
    printed = weelo("export", str(scene.customer.id))
    dashed = weelo("export", str(scene.customer.id), "--out", "-")
    assert printed.exit_code == dashed.exit_code == 0, dashed.output
    assert json.loads(printed.stdout)["tables"].keys() == json.loads(dashed.stdout)["tables"].keys()
    assert not Path("-").exists()


def test_an_export_has_every_row_of_the_person(world: World, tmp_path: Path) -> None:
    """The export has all columns of all tables with rows of the person, and so everything that an erasure would change."""
    scene = Scene(world).play()
    file = tmp_path / "export.json"
    assert weelo("export", str(scene.customer.id), "--out", str(file)).exit_code == 0
    exported = json.loads(file.read_text())
    tables = exported["tables"]
    assert set(tables) == {
        "users", "broadcasts", "truck_requests", "assignments", "transitions", "events", "log_heads", "log_lines",
        "mailbox", "devices", "webhooks",
    }  # fmt: skip
    for table, rows in tables.items():
        columns = set(Base.metadata.tables[table].columns.keys())
        assert columns == {*TABLES[table].kept, *TABLES[table].replaced, *TABLES[table].json}
        assert all(set(row) == columns for row in rows)
    assert len(tables["log_lines"]) == len(world.events_of(scene.customer.id))
    assert {line["event_id"] for line in tables["log_lines"]} <= {event["id"] for event in tables["events"]}
    text = file.read_text()
    dumped = "".join(scene.dump()[table] for table in tables)
    for word in ("pickup", "drop", "goods", "notes", "token", "cancel"):
        assert scene.customer.text(word) in dumped
        assert scene.customer.text(word) in text
    assert exported["redis"].keys() == {"position", "acknowledgedSeq", "sockets"}


def test_an_export_does_not_overwrite_a_file(world: World, tmp_path: Path) -> None:
    scene = Scene(world)
    scene.prepare()
    file = tmp_path / "export.json"
    file.write_text("an earlier one")
    result = weelo("export", str(scene.driver.id), "--out", str(file))
    assert getattr(result.exception, "exit_code", None) == 2
    assert str(result.exception) == f"--out: {file} exists already; give the name of a new file"
    assert file.read_text() == "an earlier one"
    assert world.value("SELECT count(*) FROM audit") == 0


def test_the_position_of_a_transporter_is_exported(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    result = weelo("export", str(scene.transporter.id))
    assert result.exit_code == 0, result.exception
    position = json.loads(result.output)["redis"]["position"]
    assert position == {"latitude": 28.6445139, "longitude": 77.2167139}


def test_exports_and_erasures_are_recorded(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    weelo("export", str(scene.driver.id))
    row = scene.erase(scene.driver.id)
    recorded = world.rows("SELECT * FROM audit WHERE subject_id = :id ORDER BY at", id=scene.driver.id)
    assert [(each.command, each.command_id, each.reason) for each in recorded] == [
        ("person.export", None, "weelo person export"),
        ("person.erase", row.id, "at their request"),
    ]

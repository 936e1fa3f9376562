"""`weelo migration NAME`, in a copy of the program whose models a test changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT

FIELD = "    notes: Mapped[str | None]\n"
INDEX = '        Index("broadcasts_of_a_customer", "customer_id", "created_at"),\n'


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "weelo_workers", tmp_path / "weelo_workers")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def migration(copy: Path, name: str) -> subprocess.CompletedProcess[str]:
    program = "from weelo_workers import cli; cli.main()"
    return subprocess.run(
        [sys.executable, "-c", program, "migration", name],
        check=False,
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=120,
    )


def replace(copy: Path, old: str, new: str) -> None:
    models = copy / "weelo_workers" / "models" / "broadcasts.py"
    source = models.read_text()
    assert source.count(old) == 1
    models.write_text(source.replace(old, new))


def test_a_changed_model_becomes_the_next_migration_and_then_nothing_is_left(copy: Path) -> None:
    versions = copy / "weelo_workers" / "models" / "migrations" / "versions"
    newest = max(path.name[:4] for path in versions.glob("[0-9]*.py"))
    replace(copy, FIELD, f"{FIELD}    vehicle_body_height_m: Mapped[float | None]\n")
    replace(
        copy,
        INDEX,
        f'{INDEX}        CheckConstraint("vehicle_body_height_m > 0", name="a_height_is_positive"),\n'
        '        Index("broadcasts_by_height", "vehicle_body_height_m"),\n',
    )
    done = migration(copy, "vehicle_body_height")
    written = versions / f"{int(newest) + 1:04}_vehicle_body_height.py"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{written}: read it, and state in its first line what it does\n"
    source = written.read_text()
    assert source.startswith(
        '"""Vehicle body height."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n'
    )
    assert f'revision = "{int(newest) + 1:04}"\ndown_revision = "{newest}"\n' in source
    assert (
        'op.add_column("broadcasts", sa.Column("vehicle_body_height_m", sa.Double(), nullable=True))'
        in source
    )
    assert '"a_height_is_positive"' in source and '"broadcasts_by_height"' in source
    assert 'op.drop_column("broadcasts", "vehicle_body_height_m")' in source
    assert "Alembic" not in source

    again = migration(copy, "again")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "weelo: the migrations match the models already; change a model first\n"
    assert not list(versions.glob("*again*"))


def test_what_alembic_does_not_see_is_to_be_added_by_hand(copy: Path) -> None:
    replace(copy, '"trucks_needed BETWEEN 1 AND 50"', '"trucks_needed BETWEEN 1 AND 60"')
    done = migration(copy, "more_trucks")
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.partition(":")[0].endswith("_more_trucks.py")
    assert second.startswith("add by hand: constraint broadcasts.a_broadcast_needs_1_to_50_trucks: ")


@pytest.mark.parametrize("name", ["", "More trucks", "1st", "../x", "a-b", "x" * 60])
def test_a_name_is_words_of_small_letters(copy: Path, name: str) -> None:
    done = migration(copy, name)
    assert done.returncode == 2
    assert "vehicle_body_height" in done.stderr

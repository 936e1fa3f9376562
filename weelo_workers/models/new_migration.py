"""Compares the schema of the migrations with that of the models, and writes the migration that makes them equal."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.schema import CreateSchema

from weelo_workers.models.base import Base
from weelo_workers.models.migrate import alembic_config

_MODELS = "schema_of_the_models"
_ALEMBIC_REMARK = "# ###"  # Alembic writes a comment with this beginning before and after its commands.

# PostgreSQL prints a default as '0'::smallint if it was given as text, and as 0 if it was given as a number. Both mean
# the same.
_LITERAL = "^'([^']*)'::[a-z ]+$"

# PostgreSQL prints equal parts of a schema in the same form, however they were created, so the texts can be compared.
_DEFINITIONS = text(r"""
    SELECT 'column ' || c.relname || '.' || a.attname AS part,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                     CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                     'DEFAULT ' || regexp_replace(pg_get_expr(d.adbin, d.adrelid), :literal, '\1'),
                     CASE WHEN a.attidentity <> '' THEN 'IDENTITY ' || a.attidentity::text END) AS definition
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
       AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'constraint ' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
     WHERE c.relnamespace = current_schema()::regnamespace AND k.contype <> 'n' AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'index ' || tablename || '.' || indexname, replace(indexdef, ' ON ' || schemaname || '.', ' ON ')
      FROM pg_indexes
     WHERE schemaname = current_schema() AND tablename <> 'alembic_version'
""")


@dataclass(frozen=True, slots=True)
class NewMigration:
    path: Path
    differences: list[str]
    """What Alembic does not see, and what has to be added by hand, one line each."""


def schema_differences(connection: Connection, metadata: MetaData = Base.metadata) -> list[str]:
    """Return how the schema of this database differs from that of the models, one line each.

    Compares columns with types and defaults, constraints with their conditions, and indexes. For this the tables of the
    models are created in a schema of their own, which is rolled back.
    """
    there = _definitions(connection)
    with connection.begin_nested() as savepoint:
        connection.execute(CreateSchema(_MODELS))
        connection.execute(text(f"SET LOCAL search_path = {_MODELS}"))
        metadata.create_all(connection, checkfirst=False)
        wanted = _definitions(connection)
        savepoint.rollback()
    return [
        f"{part}: the migrations make {there.get(part, 'none')}, the models say {wanted.get(part, 'none')}"
        for part in sorted(there.keys() | wanted.keys())
        if there.get(part) != wanted.get(part)
    ]


def write_migration(connection: Connection, name: str) -> NewMigration | None:
    """Write the next migration from the models, on a database without tables. Return None if nothing is to be changed."""
    config = alembic_config(connection)
    config.cmd_opts = Namespace(quiet=True)  # Without `quiet`, Alembic prints which file it writes.
    command.upgrade(config, "head")
    if not schema_differences(connection):
        return None
    newest = ScriptDirectory.from_config(config).get_current_head()
    written = command.revision(
        config, name.replace("_", " ").capitalize(), autogenerate=True, rev_id=f"{int(newest or 0) + 1:04}"
    )
    assert isinstance(written, Script)
    path = Path(written.path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.lstrip().startswith(_ALEMBIC_REMARK)))
    if importlib.util.find_spec("ruff"):
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(path)], check=False)
    command.upgrade(alembic_config(connection), "head")
    return NewMigration(path, schema_differences(connection))


def _definitions(connection: Connection) -> dict[str, str]:
    """Return the definition of each part of the current schema, as PostgreSQL prints it."""
    return {row.part: row.definition for row in connection.execute(_DEFINITIONS, {"literal": _LITERAL})}

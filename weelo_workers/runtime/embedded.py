"""The embedded servers of a data dir: `Postgres(data_dir)` and `Valkey(data_dir)`.

Both have: `start() -> url`, `stop()`, `kill()`, `restart() -> url`, `pid()`, `url()`, `remove()`; PostgreSQL also `create_database(name) -> url`.
"""

from weelo_workers.runtime.postgres import Postgres
from weelo_workers.runtime.server import EmbeddedServer, ServerError
from weelo_workers.runtime.valkey import Valkey

__all__ = ["EmbeddedServer", "Postgres", "ServerError", "Valkey"]

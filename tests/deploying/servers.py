"""A program: runs PostgreSQL and Valkey that listen on an address of this host, until its standard input is closed.

    python -m tests.deploying.servers ADDRESS FOLDER

It prints their URLs as one line of JSON when both are ready.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from weelo_workers.runtime import postgres, valkey
from weelo_workers.runtime.embedded import Postgres, Valkey


def main() -> None:
    address, folder = sys.argv[1], Path(sys.argv[2])
    # Only the end of the standard input ends this program, because a signal could leave a server running.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # By default the embedded servers only listen on 127.0.0.1, because they are for development.
    postgres.HBA += "host all all 10.213.0.0/16 scram-sha-256\n"
    valkey.CONFIG = valkey.CONFIG.replace("bind 127.0.0.1", f"bind 127.0.0.1 {address}")
    database = Postgres(folder, {"fsync": "off", "listen_addresses": f"127.0.0.1,{address}"})
    redis = Valkey(folder)
    try:
        database.start()
        urls = {"DATABASE_URL": database.create_database("weelo"), "REDIS_URL": redis.start()}
        line = json.dumps({name: url.replace("127.0.0.1", address) for name, url in urls.items()})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        database.remove()
        redis.remove()


main()

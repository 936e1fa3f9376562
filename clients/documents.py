"""Writes openapi.json and asyncapi.json of this code into a folder: `python -m clients.documents FOLDER`.

No server runs, and none is needed: the API describes itself without its database.
"""

from __future__ import annotations

import sys
from pathlib import Path

from weelo_api import create_app

NAMES = ("openapi.json", "asyncapi.json")


def write(folder: Path) -> None:
    """Write both documents into `folder`, which is made if it does not exist."""
    client = create_app().test_client()
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        response = client.get(f"/{name}")
        if response.status_code != 200:
            raise RuntimeError(f"/{name} answered {response.status_code}")
        (folder / name).write_bytes(response.data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

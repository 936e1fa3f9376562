"""Writes the API's documents openapi.json and asyncapi.json: `python -m clients.documents FOLDER`.

No server has to run, because the API needs no database to describe itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from weelo_api import create_app

NAMES = ("openapi.json", "asyncapi.json")


def document(name: str) -> bytes:
    """Return the document with this name, as JSON."""
    response = create_app().test_client().get(f"/{name}")
    if response.status_code != 200:
        raise RuntimeError(f"/{name} answered {response.status_code}")
    return response.get_data()


def write(folder: Path) -> None:
    """Write both documents into `folder`, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).write_bytes(document(name))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

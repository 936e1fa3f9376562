"""Every place that draws at random is listed here, so that the lab can play the same events again from a seed.

New code of the workers uses `weelo_workers.randomness`.
"""

from __future__ import annotations

import re

from tests.support.sources import ROOT, python_files

RANDOM = re.compile(r"\buuid[14]\(|\brandom\.\w+\(|\bsecrets\.\w+\(|\bos\.urandom\(")
# SQL's gen_random_uuid() is not searched for: the lab's database replaces it by a function of its own.
ALLOWED = {
    "weelo_workers/randomness.py": "the place itself",
    "weelo_workers/notifications/socket_sessions.py": "names of open sockets",
    "weelo_workers/runtime/datadir.py": "secrets",
    "weelo_workers/runtime/ports.py": "free ports",
}


def test_workers_draw_at_random_in_the_listed_places_only() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in python_files("weelo_workers")
        if RANDOM.search(path.read_text())
    }
    assert found == set(ALLOWED)


def test_a_new_place_would_be_found() -> None:
    for line in ("id=uuid4(),", "pause = random.uniform(0.5, 1.0)", "secrets.token_hex(16)"):
        assert RANDOM.search(line)
    assert not RANDOM.search("id=new_id(), pause = uniform(0.5, 1.0)")

"""If a Redis user lacks rights, `weelo doctor` and the start of the system name the user and the rights that suffice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from redis import Redis
from sqlalchemy.engine import make_url

from tests.support.programs import weelo_here
from weelo_workers.messaging.redis_rights import NEEDED, missing_right
from weelo_workers.redis_client import connect

Allowed = Callable[[str], str]


@pytest.fixture
def allowed() -> Iterator[Allowed]:
    """Make a Redis user with these rights, and return the URL that names it. The user is deleted after the test."""
    name, password = f"user-{uuid4().hex[:8]}", uuid4().hex
    url = os.environ["REDIS_URL"]
    with Redis.from_url(url) as admin:

        def make(rights: str) -> str:
            admin.execute_command("ACL", "SETUSER", name, "on", f">{password}", *rights.split())
            return make_url(url).set(username=name, password=password).render_as_string(False)

        yield make
        admin.execute_command("ACL", "DELUSER", name)


@pytest.mark.parametrize(
    ("rights", "named"),
    [
        ("~* &* +@all -@scripting", "'eval' command"),
        ("~* &* +@all -@write", "'set' command"),
        ("~* &* +@read +@scripting +@pubsub +@connection", "'set' command"),
        ("~* +@all", "access a channel"),
        ("~* &weelo:* +@all", "access a channel"),
        ("~other:* &* +@all", "access a key"),
        ("&* +@all ~weelo:[a-b]*", "access a key"),
        (NEEDED, None),
    ],
)
def test_the_first_missing_right_is_named(rights: str, named: str | None, allowed: Allowed) -> None:
    with connect(allowed(rights)) as client:
        missing = missing_right(client)
    if named is None:
        assert missing is None
    else:
        assert missing is not None and named in missing and missing.endswith(NEEDED)


def test_a_user_needs_only_the_rights_for_what_its_server_is_used_for(allowed: Allowed) -> None:
    with connect(allowed("~weelo:* resetchannels +@all -@admin")) as presence:
        assert missing_right(presence, broker=False) is None
    with connect(allowed("~weelo:celery:* &* +@all -@scripting")) as broker:
        assert missing_right(broker, presence=False) is None


@pytest.mark.parametrize("credentials", ["", ":wrong@"])
def test_the_doctor_says_in_plain_words_that_a_password_is_missing_or_wrong(credentials: str) -> None:
    url = make_url(os.environ["REDIS_URL"])
    address = f"redis://{credentials}{url.host}:{url.port}/{url.database}"
    seen = weelo_here("doctor", REDIS_URL=address, DATABASE_URL="postgresql://127.0.0.1:1/weelo")
    [line] = [line for line in seen.stdout.splitlines() if line.startswith("REDIS_URL: ")]
    assert "it requires a password" in line if not credentials else "invalid username-password pair" in line
    assert "HELLO" not in line

"""The small commands: tokens, and one line for what cannot be done."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from tests.runtime.test_up import weelo

SECRET = "a secret of at least thirty-two bytes"


def test_a_token_says_who_and_in_what_role_and_for_how_long() -> None:
    sub = str(uuid4())
    asked = ("--role", "driver", "--sub", sub, "--name", "Asha", "--phone", "+91 98", "--ttl", "60")
    printed = weelo("token", *asked, JWT_SECRET=SECRET)
    assert printed.returncode == 0
    claims = jwt.decode(printed.stdout.strip(), SECRET, algorithms=["HS256"])
    assert {name: claims[name] for name in ("sub", "role", "name", "phone")} == {
        "sub": sub,
        "role": "driver",
        "name": "Asha",
        "phone": "+91 98",
    }
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 30


def test_a_token_needs_no_name_and_lasts_a_day() -> None:
    printed = weelo("token", "--role", "customer", "--sub", str(uuid4()), JWT_SECRET=SECRET)
    claims = jwt.decode(printed.stdout.strip(), SECRET, algorithms=["HS256"])
    assert set(claims) == {"sub", "role", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 86_400


def test_in_development_the_data_dir_has_a_secret_of_its_own(data_dir: Path) -> None:
    for _ in range(2):
        printed = weelo("token", "--role", "admin", "--sub", str(uuid4()), "--data-dir", str(data_dir))
        secret = (data_dir / "jwt-secret").read_text().strip()
        assert len(secret) >= 32
        assert jwt.decode(printed.stdout.strip(), secret, algorithms=["HS256"])["role"] == "admin"


def test_in_production_no_secret_is_made(data_dir: Path) -> None:
    asked = ("token", "--role", "admin", "--sub", str(uuid4()), "--data-dir", str(data_dir))
    refused = weelo(*asked, WEELO_ENV="production")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("weelo: JWT_SECRET: must be set in production")
    assert not data_dir.exists()


@pytest.mark.parametrize(
    "asked", [("--role", "king", "--sub", str(uuid4())), ("--role", "driver", "--sub", "7")]
)
def test_what_is_no_role_or_no_uuid_is_refused(asked: tuple[str, ...]) -> None:
    assert weelo("token", *asked, JWT_SECRET=SECRET).returncode == 2


@pytest.mark.parametrize("command", ["doctor", "migrate"])
def test_without_a_system_there_is_nothing_to_look_after(command: str, data_dir: Path) -> None:
    refused = weelo(command, "--data-dir", str(data_dir))
    assert refused.returncode == 2
    assert refused.stderr.startswith("weelo: DATABASE_URL: not set")
    assert refused.stderr.count("\n") == 1


def test_a_database_that_does_not_answer_is_one_line() -> None:
    refused = weelo("migrate", DATABASE_URL="postgresql://127.0.0.1:1/weelo")
    assert refused.returncode == 2
    assert refused.stderr.startswith("weelo: DATABASE_URL: ")
    assert refused.stderr.count("\n") == 1


def test_help_waits_for_no_library() -> None:
    heavy = {"sqlalchemy", "celery", "pydantic", "flask", "jwt", "psutil"}
    script = f"import sys, weelo_workers.cli; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

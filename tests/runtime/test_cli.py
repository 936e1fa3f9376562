"""The small commands, such as `token`. A command that fails prints one line."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import click
import jwt
import pytest

from tests.support.programs import weelo, without_weelo
from weelo_workers import cli
from weelo_workers.runtime.datadir import DataDir

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


def test_in_development_a_token_is_signed_with_the_secret_of_the_data_dir(data_dir: Path) -> None:
    secret = DataDir.open(data_dir).jwt_secret()
    assert len(secret) >= 32
    printed = weelo("token", "--role", "admin", "--sub", str(uuid4()), "--data-dir", str(data_dir))
    assert jwt.decode(printed.stdout.strip(), secret, algorithms=["HS256"])["role"] == "admin"


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command below `group` with its path, such as `("mailbox", "show")`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


# The arguments that a command needs besides --data-dir.
NEEDS = {
    ("token",): ("--role", "admin", "--sub", str(uuid4())),
    ("events", "restart"): ("--yes",),
    ("mailbox", "show"): (str(uuid4()),),
    ("mailbox", "retry"): (str(uuid4()),),
    ("person", "export"): (str(uuid4()),),
    ("person", "erase"): (str(uuid4()),),
}
ONLY_READ_THE_DATA_DIR = [
    path
    for path, command in commands(cli.weelo)
    if path != ("up",) and any("--data-dir" in option.opts for option in command.params)
]


@pytest.mark.parametrize("path", ONLY_READ_THE_DATA_DIR, ids=" ".join)
def test_only_up_makes_a_data_dir_and_other_commands_report_a_missing_one_in_one_line(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    missing = tmp_path / "no" / "such" / "place"
    refused = weelo(*path, *NEEDS.get(path, ()), "--data-dir", str(missing))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("weelo: ") and refused.stderr.count("\n") == 1
    assert str(missing) in refused.stderr and "weelo up" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ONLY_READ_THE_DATA_DIR, ids=" ".join)
def test_only_up_writes_to_a_data_dir(path: tuple[str, ...], tmp_path: Path) -> None:
    refused = weelo(*path, *NEEDS.get(path, ()), "--data-dir", str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


GROUPS = sorted({path[:-1] for path, _ in commands(cli.weelo)})


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: " ".join(["weelo", *group]))
def test_the_summary_of_every_command_fits_80_columns(group: tuple[str, ...]) -> None:
    shown = weelo(*group, "--help", COLUMNS="80").stdout
    _, _, listed = shown.partition("Commands:\n")
    assert listed and "..." not in listed
    assert all(len(line) <= 80 for line in shown.splitlines())


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


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("up", "--data-dir", ""), "--data-dir"),
        (("up", "--data-dir", "."), "--data-dir"),
        (("up", "--host", ""), "--host"),
        (("token", "--role", "admin", "--sub", str(uuid4()), "--ttl", "999999999999"), "--ttl"),
    ],
    ids=["no data dir", "the current folder", "no host", "a token for ever"],
)
def test_an_argument_that_an_unset_variable_leaves_empty_is_refused_in_one_line(
    arguments: tuple[str, ...], option: str
) -> None:
    refused = weelo(*arguments, JWT_SECRET=SECRET)
    assert refused.returncode == 2
    [reason] = [line for line in refused.stderr.splitlines() if line.startswith("Error:")]
    assert option in reason
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("demo", "--url", "http://[::1"), "--url"),
        (("demo", "--url", "http://a..b"), "--url"),
        (("demo", "--url", "http://127.0.0.1:99999"), "--url"),
        (("demo", "--url", "127.0.0.1:8000"), "--url"),
        (("demo", "--url", ""), "--url"),
        (("up", "--host", "\u00fcn..x"), "--host"),
        (("up", "--host", "a..b"), "--host"),
        (("up", "--host", "x" * 80), "--host"),
        (("token", "--role", "admin", "--sub", str(uuid4()), "--name", "\udcff"), "--name"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_an_address_or_a_name_that_cannot_be_encoded_is_refused_in_one_line(
    arguments: tuple[str, ...], option: str, data_dir: Path
) -> None:
    refused = weelo(*arguments, "--data-dir", str(data_dir), JWT_SECRET=SECRET)
    assert refused.returncode == 2
    [reason] = [line for line in refused.stderr.splitlines() if line.startswith(("Error:", "weelo:"))]
    assert option in reason
    assert "Traceback" not in refused.stderr


UNWRITABLE = {
    "full": ">/dev/full",
    "closed": ">&-",
    "all closed": "<&- >&- 2>&-",
    "all full": ">/dev/full 2>&1",
}


@pytest.mark.parametrize("redirected", UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("token", "--role", "admin", "--sub", str(uuid4())),
        ("demo", "--url", "http://127.0.0.1:1"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_whose_output_cannot_be_written_fails_with_one_line(
    arguments: tuple[str, ...], redirected: str
) -> None:
    if "/dev/full" in redirected and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = shlex.join([sys.executable, "-m", "weelo_workers.cli", *arguments])
    # Unbuffered output would fail when it is written. The output tested here is buffered, so it may fail only when the
    # interpreter ends.
    buffered = {name: value for name, value in without_weelo().items() if name != "PYTHONUNBUFFERED"}
    failed = subprocess.run(
        ["/bin/sh", "-c", f"{command} {redirected}"],
        env={**buffered, "JWT_SECRET": SECRET},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert failed.returncode == 1
    if "2>" not in redirected:
        assert failed.stderr.startswith("weelo: standard output cannot be written: ")
        assert failed.stderr.count("\n") == 1


def test_what_the_operating_system_refuses_is_one_line(data_dir: Path) -> None:
    secret = DataDir.open(data_dir).jwt_secret_file
    secret.mkdir()  # reading a directory as a file fails, even for root
    asked = ("token", "--role", "admin", "--sub", str(uuid4()), "--data-dir", str(data_dir))
    failed = weelo(*asked)
    assert failed.returncode == 1
    assert failed.stderr == f"weelo: the operating system refuses: {secret}: Is a directory\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JWT_SECRET", "\udcff" * 40),
        ("DATABASE_URL", "postgresql://\udcff@127.0.0.1:1/weelo"),
        ("REDIS_URL", "redis://a..b:6379/0"),
        ("FCM_ENDPOINT", "http://a..b"),
    ],
)
def test_a_setting_that_cannot_be_encoded_is_one_line_that_names_it(variable: str, value: str) -> None:
    refused = weelo("doctor", **{variable: value})
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"weelo: {variable}: ")
    assert "codec" not in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_ctrl_c_while_weelo_is_still_imported_ends_it_silently() -> None:
    """On a slow machine the import takes a second or two, so a user may press Ctrl-C before it ends."""
    script = (
        "import signal, sys; from weelo_workers import entry\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *others):\n"
        "        if name == 'weelo_workers.cli': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts()); sys.argv = ['weelo', '--help']; entry.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

"""Options and arguments that several commands of `weelo` have, and the settings of a running system."""

from __future__ import annotations

import os
from pathlib import Path

import click

# Exit codes: REFUSED for wrong usage and for expected problems, FAILED for findings and for a failed run.
FAILED, REFUSED = 1, 2


def _folder_of_its_own(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """Refuse the current folder and an empty path, because secrets would be written among the files of a project."""
    if value == Path():
        raise click.BadParameter("is empty or the current folder; name a folder of its own")
    return value


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_folder_of_its_own,
    default=".weelo",
    show_default=True,
    help="The folder of servers' data, secrets and run files.",
)


class HostName(click.ParamType[str]):
    """A host name or an address. Refuses empty text (from an unset shell variable), which would mean all interfaces."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        if not value.strip():
            self.fail("is empty; name an address, 0.0.0.0 for all interfaces", param, context)
        return value


class HttpUrl(click.ParamType[str]):
    """The HTTP address of a running system."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        from weelo_workers import http_url

        try:
            http_url.check(value)
        except ValueError as problem:
            self.fail(f"{value!r} {problem}", param, context)
        return value


class Utf8(click.ParamType[str]):
    """Text in UTF-8. Python reads other bytes as surrogates, and other programs refuse a token with surrogates."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        from weelo_workers.settings import is_text

        if not is_text(value):
            self.fail("is not text in UTF-8", param, context)
        return value


def use_running_system(data_dir: Path, *variables: str) -> None:
    """Set the environment variables named by `variables` as in the system on the data dir, unless they are set already.

    WEELO_ENV and JWT_SECRET are set likewise. Raises CommandError if one of `variables` gets no value.
    """
    from weelo_workers.runtime import CommandError
    from weelo_workers.runtime.datadir import DataDir
    from weelo_workers.settings import given, settings

    # In production values come from the environment only, never from a data dir.
    production = settings().weelo_env == "production"
    running = None if production else DataDir.at(data_dir).running()
    for variable in variables:
        if given(variable):
            continue
        address = getattr(running, variable.lower(), None)
        if address is None:
            raise CommandError(
                f"{variable}: not set, and no embedded server runs on {data_dir}; set it or `weelo up`"
            )
        os.environ[variable] = address
    if running and running.sandbox and not given("WEELO_ENV"):
        os.environ["WEELO_ENV"] = "sandbox"
    if running and running.jwt_secret_file and not given("JWT_SECRET"):
        os.environ["JWT_SECRET"] = Path(running.jwt_secret_file).read_text().strip()
    settings.cache_clear()
    settings()
    from weelo_workers.logs import configuring

    configuring.configure("cli")

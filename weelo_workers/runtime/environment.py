"""The environment of the processes that `weelo up` starts, composed from a list of variables that are kept.

A shell, a container platform or another program sets variables that our libraries read as well: `BROKER_URL`,
`LOADER` and `APP` (Celery), `PGSSLMODE` (libpq), `FLOWER_PORT` (Kubernetes sets it to an address), `GUNICORN_CMD_ARGS`,
`PYTHONOPTIMIZE`. A list of variables to remove would never be complete, so this is a list of those to keep.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from weelo_workers import otel_variables, python_variables
from weelo_workers.settings import Settings

# Relative paths are relative to the directory in which `weelo` was started; its processes run in another one.
_PATHS = frozenset(
    [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "METRICS_DIR",
        "TMPDIR",
        "TEMP",
        "TMP",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "PGPASSFILE",
        "PGSERVICEFILE",
        "PGSYSCONFDIR",
        "PGSSLROOTCERT",
        "PGSSLCERT",
        "PGSSLKEY",
        "PGSSLCRL",
        "PGSSLCRLDIR",
    ]
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Variables of the account, the terminal, the language, the time zone, certificates, and completion of command lines.
_SYSTEM = (
    "PATH HOME USER LOGNAME SHELL TMPDIR TEMP TMP TZ LANG LANGUAGE TERM COLORTERM NO_COLOR FORCE_COLOR COLUMNS LINES"
    " SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE _WEELO_COMPLETE COMP_WORDS COMP_CWORD"
)
# If FLOWER_BASIC_AUTH were dropped, Flower would ask for no password.
_FLOWER = "FLOWER_BASIC_AUTH FLOWER_UNAUTHENTICATED_API"
# The Firebase project, if the file of GOOGLE_APPLICATION_CREDENTIALS does not name one.
_FIREBASE = "GOOGLE_CLOUD_PROJECT"
_PASSED_ON = frozenset([*f"{_SYSTEM} {_FLOWER} {_FIREBASE}".split(), *otel_variables.NAMES])
# Prefixes of variables: of the locale, of the dynamic linker (some Pythons do not start without them), of coverage.py, and
# of OpenTelemetry.
_PASSED_ON_PREFIXES = (
    "LC_",
    "LD_",
    "DYLD_",
    "COVERAGE_",
    *otel_variables.PREFIXES,
)

# libpq's variables that complete DATABASE_URL or protect the connection. They are kept only if the user sets
# DATABASE_URL. Variables that override the URL's address (PGHOSTADDR, PGSERVICE) or change a session (PGOPTIONS,
# PGCLIENTENCODING) are not kept.
_LIBPQ = frozenset(
    [
        "PGHOST",
        "PGPORT",
        "PGDATABASE",
        "PGUSER",
        "PGPASSWORD",
        "PGPASSFILE",
        "PGREQUIREAUTH",
        "PGCHANNELBINDING",
        "PGSERVICEFILE",
        "PGSYSCONFDIR",
        "PGSSLMODE",
        "PGREQUIRESSL",
        "PGSSLNEGOTIATION",
        "PGSSLCERT",
        "PGSSLKEY",
        "PGSSLROOTCERT",
        "PGSSLCRL",
        "PGSSLCRLDIR",
        "PGSSLSNI",
        "PGSSLMINPROTOCOLVERSION",
        "PGSSLMAXPROTOCOLVERSION",
        "PGREQUIREPEER",
        "PGGSSENCMODE",
        "PGKRBSRVNAME",
        "PGGSSLIB",
        "KRB5_CONFIG",
        "KRB5CCNAME",
    ]
)


def composed(given: Mapping[str, str]) -> dict[str, str]:
    """Return the kept variables of an environment: our settings, and those of the operating system and the terminal."""
    own_database = bool(given.get("DATABASE_URL"))
    kept = {name: value for name, value in given.items() if _is_passed_on(name, own_database)}
    kept |= python_variables.harmless(given)
    for name in kept.keys() & _PATHS:
        if kept[name]:
            kept[name] = str(_absolute(kept[name]))
    # The variables of proxies are kept, because FCM may be reached through one. NO_PROXY excludes the servers on this
    # machine.
    for name in ("NO_PROXY", "no_proxy"):
        listed = [host.strip() for host in kept.get(name, "").split(",") if host.strip()]
        kept[name] = ",".join([*listed, *(host for host in _LOOPBACK if host not in listed)])
    return kept


def keep_only_composed() -> None:
    """Remove from this process's environment what `composed` leaves out, before a library reads it."""
    kept = composed(os.environ)
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ.update(kept)


OUTPUT_ENCODING = ("PYTHONUTF8", "PYTHONIOENCODING")


def for_server(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process whose output the supervisor reads line by line, as UTF-8."""
    # This filter suppresses a warning of six lines that Celery prints in each worker that runs as root, as is usual in
    # a container.
    quiet = "ignore:You're running the worker with superuser privileges"
    return {
        **composed(given),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "PYTHONWARNINGS": quiet,
    }


def _is_passed_on(name: str, own_database: bool) -> bool:
    return (
        name in _PASSED_ON
        or name.startswith(_PASSED_ON_PREFIXES)
        or name.upper() in _PROXIES
        or name.lower() in Settings.model_fields
        or (own_database and name in _LIBPQ)
    )


def _absolute(path: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except (FileNotFoundError, RuntimeError):  # there is no current directory, or no home for `~`
        return Path(path)

"""Invalid addresses of servers are refused with one line, before any connection is made."""

from __future__ import annotations

import os

import pytest

from weelo_workers import database_url, http_url, python_variables


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:8000", None),
        ("https://weelo.example/path", None),
        ("https://[::1]:443", None),
        ("ftp://weelo.example", "must begin with http"),
        ("weelo.example", "must begin with http"),
        ("http://", "must be an address like"),
        ("http://a?b", "without ? or #"),
        ("http://a#b", "without ? or #"),
        ("http://a:0", "the port must be"),
        ("http://a:65536", "the port must be"),
        ("http://a:b", "the port must be"),
        ("http://[::1", "the port must be"),
        ("http://a..b", "between two dots"),
        (f"http://{'a' * 64}.example", "between two dots"),
    ],
)
def test_an_http_address_is_one_that_can_be_called(url: str, reason: str | None) -> None:
    if reason is None:
        http_url.check(url)
        return
    with pytest.raises(ValueError, match=reason.replace("?", r"\?")):
        http_url.check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:p@h:5432/d", None),
        ("postgres://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem", None),
        ("postgresql+psycopg2://h/d?sslrootcert=system", None),
        ("postgresql://h1:1,h2:2/d", None),
        ("postgresql:///?service=weelo", None),
        ("mysql://h/d", "must begin with postgresql://"),
        ("postgresql://h", "names no database"),
        ("postgresql://u:p@ss@h/d", "percent-encoded"),
        ("postgresql://u:p/q@h/d", "percent-encoded"),
        ("postgresql://h:0/d", "the port"),
        ("postgresql://h:70000/d", "the port"),
        ("postgresql://h/d?nothing=1", "has no parameter nothing"),
        ("postgresql://h/d?sslmode=on", "sslmode must be one of"),
        ("postgresql://h/d?sslcert=mine.pem", "sslcert must be an absolute path"),
        ("postgresql://h/d?connect_timeout=1s", "connect_timeout must be a whole number"),
    ],
)
def test_a_database_url_is_refused_with_the_parameter_that_is_wrong(url: str, reason: str | None) -> None:
    if reason is None:
        assert database_url.read(url)
        return
    with pytest.raises(ValueError, match=reason) as refused:
        database_url.read(url)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"PYTHONUNBUFFERED": "1", "PYTHONSTARTUP": "x", "PYTHONHOME": "/"}, {"PYTHONUNBUFFERED": "1"}),
        ({"PYTHONPATH": "/elsewhere"}, {}),
        (
            {"PYTHONPATH": f"/elsewhere{os.pathsep}{python_variables.ROOT}"},
            {"PYTHONPATH": python_variables.ROOT},
        ),
        ({"PYTHONPATH": ""}, {}),
    ],
)
def test_programs_inherit_only_harmless_variables_of_python(
    given: dict[str, str], kept: dict[str, str]
) -> None:
    assert python_variables.harmless(given) == kept

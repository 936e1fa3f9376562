"""A variable that names certificate authorities which cannot be loaded is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import weelo_here
from tests.support.tls import Authority
from weelo_workers.settings import ConfigurationError, Settings, settings
from weelo_workers.trusted_authorities import FOR_PUSHES, FOR_TRACES, FOR_WEBHOOKS, check

FILES = sorted({*FOR_WEBHOOKS, *FOR_TRACES} - {"SSL_CERT_DIR"})


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_loaded_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "missing.pem", tmp_path / "text", Path("/dev/null")):
        with pytest.raises(ValueError, match=rf"^{name}: must name a readable file with certificates"):
            check([name], {name: str(path)})


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_an_authority_and_an_empty_variable_are_accepted(tmp_path: Path, name: str) -> None:
    check([name], {name: str(Authority(tmp_path).file)})
    check([name], {name: ""})


def test_a_directory_is_accepted_by_the_variables_for_directories_only(tmp_path: Path) -> None:
    for name in (*FOR_PUSHES, "SSL_CERT_DIR"):
        check([name], {name: str(tmp_path)})
    check(["SSL_CERT_DIR"], {"SSL_CERT_DIR": f"{tmp_path / 'missing'}:{tmp_path}"})
    for name, path in (("SSL_CERT_FILE", tmp_path), ("SSL_CERT_DIR", tmp_path / "missing")):
        with pytest.raises(ValueError, match=rf"^{name}: "):
            check([name], {name: str(path)})


@pytest.mark.parametrize("name", FOR_TRACES)
def test_authorities_for_traces_are_loaded_only_if_traces_are_sent(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/no/such/file")
    Settings()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")
    settings.cache_clear()
    with pytest.raises(ConfigurationError, match=rf"^{name}: "):
        settings()
    settings.cache_clear()


@pytest.mark.parametrize("command", ["doctor", "migrate"])
def test_commands_report_in_one_line_that_the_authorities_cannot_be_loaded(command: str) -> None:
    done = weelo_here(command, SSL_CERT_FILE="/no/such/file")
    assert done.returncode == 2
    assert done.stderr == (
        "weelo: SSL_CERT_FILE: must name a readable file with certificates in PEM form: No such file or directory\n"
    )

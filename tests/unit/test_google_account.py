"""GOOGLE_APPLICATION_CREDENTIALS: a file that cannot be used for pushes is refused in one line with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.programs import weelo_here
from weelo_workers import google_account


@pytest.fixture(scope="module")
def account() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "weelo-test",
        "client_email": "weelo@example.com",
        "token_uri": "https://127.0.0.1:1/token",
        "private_key": key.decode(),
    }


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"^(must name|/)") as refused:
        google_account.load(str(path))
    line = str(refused.value)
    assert "\n" not in line and str(path) in line
    return line


def written(folder: Path, content: Any) -> Path:
    file = folder / "account.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_service_account_is_accepted(tmp_path: Path, account: dict[str, Any]) -> None:
    credentials, project = google_account.load(str(written(tmp_path, account)))
    assert (credentials.service_account_email, project) == ("weelo@example.com", "weelo-test")


@pytest.mark.parametrize(
    "kind",
    [
        {
            "type": "authorized_user",
            "client_id": "1",
            "client_secret": "secret",
            "refresh_token": "token",
        },
        {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": __file__},
        },
    ],
)
def test_other_kinds_of_account_are_accepted_with_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any]
) -> None:
    file = written(tmp_path, kind)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    assert "GOOGLE_CLOUD_PROJECT" in refusal(file)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "weelo-test")
    assert google_account.load(str(file))[1] == "weelo-test"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("hello", "is not JSON"),
        ("", "is not JSON"),
        ("\x00", "is not JSON"),
        ("[]", 'has no "type"'),
        ("{}", 'has no "type"'),
        ("null", 'has no "type"'),
        ({"type": 1}, 'has no "type"'),
        ({"project_info": {"project_id": "weelo"}, "client": []}, "google-services.json"),
        ({"type": "password"}, "cannot be used"),
        ({"type": "service_account"}, "cannot be used"),
        ({"type": "external_account", "audience": 3}, "cannot be used"),
    ],
)
def test_a_file_without_an_account_is_refused(tmp_path: Path, content: Any, reason: str) -> None:
    assert reason in refusal(written(tmp_path, content))


@pytest.mark.parametrize(
    "key", ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_an_account_whose_key_cannot_sign_is_refused(
    tmp_path: Path, account: dict[str, Any], key: str
) -> None:
    line = refusal(written(tmp_path, {**account, "private_key": key}))
    assert "cannot be used" in line and "AAAA" not in line


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "missing.json")
    assert "error" in refusal(Path("/proc/self/mem"))  # reading this file fails, even as root


@pytest.mark.parametrize("command", ["doctor", "migrate"])
def test_commands_report_in_one_line_that_the_file_cannot_be_used(tmp_path: Path, command: str) -> None:
    file = written(tmp_path, "hello")
    done = weelo_here(command, GOOGLE_APPLICATION_CREDENTIALS=str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(
        "weelo: GOOGLE_APPLICATION_CREDENTIALS: must name a readable service account key"
    )
    assert done.stderr.count("\n") == 1

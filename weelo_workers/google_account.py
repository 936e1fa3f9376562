"""Loads the file that GOOGLE_APPLICATION_CREDENTIALS names, as google-auth does."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

SCOPES = ("https://www.googleapis.com/auth/firebase.messaging",)
EXPECTED = 'must name a readable service account key of Firebase (JSON with "type": "service_account")'


def load(path: str) -> tuple[Any, str]:
    """Return google-auth's credentials and the project's id. Raises ValueError with a one-line reason.

    Other kinds of account that google-auth supports work as well, such as workload identity (`external_account`). Their
    files name no project, so GOOGLE_CLOUD_PROJECT must be set.
    """
    try:
        info = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise ValueError(f"{EXPECTED}; {path}: {problem.strerror}") from None
    except ValueError:  # The file is not UTF-8 or not JSON.
        raise ValueError(f"{EXPECTED}; {path} is not JSON") from None
    kind = info.get("type") if isinstance(info, dict) else None
    if not isinstance(kind, str):
        hint = ", but an app's configuration (google-services.json)" if "project_info" in (info or ()) else ""
        raise ValueError(f'{EXPECTED}; {path} has no "type"{hint}')  # noqa: TRY004 (pydantic wants this)
    return _credentials(path, info), _project(path, info)


def _credentials(path: str, info: dict[str, Any]) -> Any:
    from google.auth.exceptions import GoogleAuthError

    with warnings.catch_warnings():
        # google-auth warns of files from untrusted sources. The warning is suppressed, because this file is the
        # operator's own.
        warnings.simplefilter("ignore")
        try:
            return _of_kind(info)
        except (GoogleAuthError, ValueError, KeyError, TypeError, AttributeError) as problem:
            reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
            raise ValueError(f"{EXPECTED}; {path} cannot be used: {reason}"[:500]) from None


def _of_kind(info: dict[str, Any]) -> Any:
    """Return the credentials. google-auth's own loader is not used, because it would send a request for the project's id."""
    from google.auth import aws, identity_pool, impersonated_credentials
    from google.oauth2 import credentials, service_account

    kind = info["type"]
    if kind == "external_account":
        of_aws = str(info.get("subject_token_type", "")).endswith(":aws4_request")
        return (aws if of_aws else identity_pool).Credentials.from_info(info, scopes=SCOPES)
    makers: dict[str, Any] = {
        "service_account": service_account.Credentials.from_service_account_info,
        "authorized_user": credentials.Credentials.from_authorized_user_info,
        "impersonated_service_account": impersonated_credentials.Credentials.from_impersonated_service_account_info,
    }
    if kind not in makers:
        raise ValueError(f"{kind!r} is not a supported type of account")
    return makers[kind](info, scopes=SCOPES)


def _project(path: str, info: dict[str, Any]) -> str:
    project = info.get("project_id") or os.environ.get("GOOGLE_CLOUD_PROJECT", "").strip()
    if not isinstance(project, str) or not project:
        raise ValueError(
            f"{path} names no project; set GOOGLE_CLOUD_PROJECT to the id of the Firebase project"
        )
    return project

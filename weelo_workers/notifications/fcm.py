"""Firebase Cloud Messaging: data-only messages to tokens, and what FCM says of each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from weelo_workers.contracts.statuses import Platform
from weelo_workers.settings import settings

# firebase-admin takes half a second to import, so only a process that pushes does it.

HTTP_TIMEOUT_SECONDS = 4
# The library starts a thread per message of a batch.
BATCH = 100


class Verdict(Enum):
    SENT = "sent"
    GONE = "gone"
    """The token is nobody's any more."""
    LATER = "later"
    REFUSED = "refused"
    """It will not be taken, however often it is tried."""


@dataclass(frozen=True, slots=True)
class Message:
    token: str
    platform: str
    data: dict[str, str]
    collapse_key: str | None
    ends_at: datetime
    """After this moment FCM need not deliver it."""


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    retry_after: float | None = None
    """Seconds, if FCM named them."""
    why: str = ""


def is_configured() -> bool:
    return bool(settings().google_application_credentials or settings().fcm_endpoint)


def send(messages: Sequence[Message], now: datetime) -> list[Answer]:
    """Hand them to FCM, at most 100 at a time. Raises nothing: what goes wrong is an answer."""
    from firebase_admin import messaging

    answers: list[Answer] = []
    for first in range(0, len(messages), BATCH):
        batch = messages[first : first + BATCH]
        try:
            sent = messaging.send_each([_encoded(each, now) for each in batch], app=_app()).responses
        except Exception as error:  # noqa: BLE001 (credentials that cannot be renewed, and the like)
            answers += [Answer(Verdict.LATER, None, f"{type(error).__name__}: {error}")] * len(batch)
            continue
        answers += [_answer(each.exception, now) for each in sent]
    return answers


def _answer(refusal: Any, now: datetime) -> Answer:
    from firebase_admin import exceptions, messaging

    gone = (messaging.UnregisteredError, messaging.SenderIdMismatchError)
    for_good = (
        exceptions.InvalidArgumentError,
        exceptions.PermissionDeniedError,
        messaging.ThirdPartyAuthError,
    )
    if refusal is None:
        return Answer(Verdict.SENT)
    if isinstance(refusal, gone):
        return Answer(Verdict.GONE, None, refusal.code)
    if isinstance(refusal, for_good):
        return Answer(Verdict.REFUSED, None, f"{refusal.code}: {refusal}")
    return Answer(Verdict.LATER, _retry_after(refusal.http_response, now), refusal.code)


def _encoded(message: Message, now: datetime) -> Any:
    from firebase_admin import messaging

    left = max(timedelta(seconds=1), message.ends_at - now)
    android = apns = None
    if message.platform == Platform.ANDROID:
        android = messaging.AndroidConfig(priority="high", ttl=left, collapse_key=message.collapse_key)
    else:
        # Apple wakes an app in the background at priority 5 only.
        headers = {
            "apns-push-type": "background",
            "apns-priority": "5",
            "apns-expiration": str(int(message.ends_at.timestamp())),
            **({"apns-collapse-id": message.collapse_key} if message.collapse_key else {}),
        }
        payload = messaging.APNSPayload(aps=messaging.Aps(content_available=True))
        apns = messaging.APNSConfig(headers=headers, payload=payload)
    return messaging.Message(token=message.token, data=message.data, android=android, apns=apns)


def _retry_after(response: Any, now: datetime) -> float | None:
    """`Retry-After` of RFC 9110: seconds, or a date."""
    said = response.headers.get("Retry-After") if response is not None else None
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(said) - now).total_seconds())
    except ValueError:
        return None


@lru_cache(maxsize=1)
def _app() -> Any:
    """This process's connection to FCM, or to the server that stands in for it."""
    import firebase_admin
    from firebase_admin import credentials, messaging
    from google.auth.credentials import AnonymousCredentials
    from requests.adapters import HTTPAdapter

    # Our devices are known by their tokens, which the library would like to see replaced by installation ids.
    warnings.filterwarnings("ignore", message="Message.token", category=DeprecationWarning)

    class Nobody(credentials.Base):  # type: ignore[misc]
        def get_credential(self) -> AnonymousCredentials:
            return AnonymousCredentials()  # type: ignore[no-untyped-call]

    path, endpoint = settings().google_application_credentials, settings().fcm_endpoint
    options = {"httpTimeout": HTTP_TIMEOUT_SECONDS, **({} if path else {"projectId": "weelo"})}
    app = firebase_admin.initialize_app(credentials.Certificate(path) if path else Nobody(), options, "weelo")
    service = messaging._get_messaging_service(app)
    # The library sleeps and tries again inside a call, for minutes if FCM says so; our mailbox does it better.
    for scheme in ("http://", "https://", "https://fcm.googleapis.com"):
        service._client.session.mount(
            scheme, HTTPAdapter(pool_connections=4, pool_maxsize=BATCH, max_retries=0)
        )
    if endpoint:
        service._fcm_url = f"{endpoint.rstrip('/')}/v1/projects/{app.project_id}/messages:send"
    return app

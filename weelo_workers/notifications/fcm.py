"""Firebase Cloud Messaging (FCM): send data-only messages to device tokens and classify the results."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from weelo_workers import google_account
from weelo_workers.contracts.statuses import Platform
from weelo_workers.settings import settings

# firebase-admin takes half a second to import, so only processes that push import it.

HTTP_TIMEOUT_SECONDS = 4
# Each message is a request in a thread. 500 requests of 50 ms take 0.8 s with 100 or 500 threads, and 1.6 s with 32.
BATCH = 100
# The time limit for a whole batch, during which a transaction is open. The limit is needed because an address look-up,
# a renewal of credentials and a slow response have no time limit of their own.
BATCH_SECONDS = 10.0

A_DAY = 86_400

_senders = ThreadPoolExecutor(BATCH, thread_name_prefix="fcm")
_connecting = threading.Lock()


class DeliveryStatus(Enum):
    SENT = "sent"
    GONE = "gone"
    """The token is no longer registered."""
    LATER = "later"
    REFUSED = "refused"
    """FCM rejects the message, and a retry would be rejected as well."""


@dataclass(frozen=True, slots=True)
class Message:
    token: str
    platform: str
    data: dict[str, str]
    collapse_key: str | None
    ends_at: datetime
    """The message expires at this time, and FCM then drops it."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    status: DeliveryStatus
    retry_after: float = 0.0
    """Seconds to wait before the next attempt, as FCM asks for."""
    why: str = ""


def is_configured() -> bool:
    return bool(settings().google_application_credentials or settings().fcm_endpoint)


def send(messages: Sequence[Message], now: datetime) -> list[DeliveryResult]:
    """Send up to BATCH messages to FCM, and wait up to BATCH_SECONDS. Raises nothing: a failure is a result.

    Each message is sent separately. The library's own batch makes the same requests, but waits for all of them without
    a limit. It also loses all results if one request fails for lack of credentials.
    """
    began = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - began)

    asked = [_senders.submit(_ask, message, clock) for message in messages]
    wait(asked, timeout=BATCH_SECONDS)
    return [_result_of(each) for each in asked]


def _result_of(asked: Future[DeliveryResult]) -> DeliveryResult:
    if asked.cancel() or not asked.done():
        return DeliveryResult(DeliveryStatus.LATER, why=f"no answer within {BATCH_SECONDS:g} s")
    return asked.result()


def _ask(message: Message, clock: Callable[[], datetime]) -> DeliveryResult:
    from firebase_admin import messaging

    try:
        messaging.send(_encoded(message, clock()), app=_app())
    except Exception as refusal:  # noqa: BLE001 (credentials that cannot be renewed, and the like)
        # The error text of FCM may contain the token. The text is logged, so the token in it is replaced.
        text = f"{type(refusal).__name__}: {refusal}".replace(message.token, "(token)")
        return _answer(refusal, text.splitlines()[0][:500], clock())
    return DeliveryResult(DeliveryStatus.SENT)


def _answer(refusal: Exception, why: str, now: datetime) -> DeliveryResult:
    from firebase_admin import exceptions, messaging

    for_good = (
        exceptions.InvalidArgumentError,
        # FCM also sends this error for a token of another project. With the credentials of a wrong project it sends the
        # error for every token, so tokens are not deleted after it.
        exceptions.PermissionDeniedError,
        messaging.ThirdPartyAuthError,
    )
    if isinstance(refusal, messaging.UnregisteredError):
        return DeliveryResult(DeliveryStatus.GONE, why=why)
    if isinstance(refusal, for_good):
        return DeliveryResult(DeliveryStatus.REFUSED, why=why)
    return DeliveryResult(
        DeliveryStatus.LATER, _retry_after(getattr(refusal, "http_response", None), now), why
    )


def _encoded(message: Message, now: datetime) -> Any:
    from firebase_admin import messaging

    left = max(timedelta(seconds=1), message.ends_at - now)
    android = apns = None
    if message.platform == Platform.ANDROID:
        android = messaging.AndroidConfig(priority="high", ttl=left, collapse_key=message.collapse_key)
    else:
        # Apple wakes an app in the background only for a push with priority 5.
        headers = {
            "apns-push-type": "background",
            "apns-priority": "5",
            "apns-expiration": str(int(message.ends_at.timestamp())),
            **({"apns-collapse-id": message.collapse_key} if message.collapse_key else {}),
        }
        payload = messaging.APNSPayload(aps=messaging.Aps(content_available=True))
        apns = messaging.APNSConfig(headers=headers, payload=payload)
    return messaging.Message(token=message.token, data=message.data, android=android, apns=apns)


def _retry_after(response: Any, now: datetime) -> float:
    """Return `Retry-After` (RFC 9110) in seconds; at most a day, because no push is valid for longer."""
    header = response.headers.get("Retry-After", "") if response is not None else ""
    if header.isdecimal():
        return float(min(int(header[:10]), A_DAY))
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()), A_DAY)


def _is_loopback(endpoint: str) -> bool:
    host = (urlsplit(endpoint).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _app() -> Any:
    """Return this process's connection to FCM. The lock keeps concurrent first pushes from making several connections."""
    with _connecting:
        return _connection()


@lru_cache(maxsize=1)
def _connection() -> Any:
    """Connect to FCM, or to the server that replaces it (FCM_ENDPOINT)."""
    import firebase_admin
    from firebase_admin import credentials
    from google.auth.credentials import AnonymousCredentials

    # This filter suppresses the library's advice to identify devices by installation ids. This system identifies them
    # by tokens.
    warnings.filterwarnings("ignore", message="Message.token", category=DeprecationWarning)

    class Loaded(credentials.Base):  # type: ignore[misc]
        def get_credential(self) -> Any:
            return account

    path, endpoint = settings().google_application_credentials, settings().fcm_endpoint
    account, project = google_account.load(path) if path else (AnonymousCredentials(), "weelo")  # type: ignore[no-untyped-call]
    options = {"httpTimeout": HTTP_TIMEOUT_SECONDS, "projectId": project}
    app = firebase_admin.initialize_app(Loaded(), options, "weelo")
    try:
        _prepare(app, endpoint)
    except BaseException:
        # The app is deleted again. Otherwise the next attempt would fail because an app of this name exists, and that
        # error would hide the first one.
        firebase_admin.delete_app(app)
        raise
    return app


def _prepare(app: Any, endpoint: str | None) -> None:
    from firebase_admin import messaging
    from requests.adapters import HTTPAdapter

    service = messaging._get_messaging_service(app)
    # The library would sleep and retry inside a call, for minutes if FCM asks for it. The mailbox retries instead.
    for scheme in ("http://", "https://", "https://fcm.googleapis.com"):
        service._client.session.mount(
            scheme, HTTPAdapter(pool_connections=4, pool_maxsize=BATCH, max_retries=0)
        )
    if endpoint:
        if _is_loopback(endpoint):
            service._client.session.trust_env = False  # A proxy cannot reach an endpoint on this machine.
        service._fcm_url = f"{endpoint.rstrip('/')}/v1/projects/{app.project_id}/messages:send"

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fcm_server import FcmServer
from weelo_workers.notifications import fcm
from weelo_workers.settings import settings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FcmServer]:
    """Yield a server to which this process sends its pushes instead of FCM."""
    server = FcmServer()
    other = settings().model_copy(update={"fcm_endpoint": server.url})
    monkeypatch.setattr(fcm, "settings", lambda: other)
    hang_up()
    yield server
    server.close()
    hang_up()


def hang_up() -> None:
    import firebase_admin

    if fcm._connection.cache_info().currsize:
        firebase_admin.delete_app(fcm._connection())
        fcm._connection.cache_clear()

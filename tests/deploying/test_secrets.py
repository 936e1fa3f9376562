"""The rotation of secrets, as docs/runbooks/secrets.md describes it, on a running system."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.engine import make_url

from tests.support.people import Truck, book
from tests.support.programs import weelo_here
from tests.support.servers import SECRETS, own_database, own_redis, own_roles
from tests.support.system import SystemWithOneWorker, doctor
from tests.support.tokens import SECRET, token
from weelo_client import Rejected, WeeloClient
from weelo_workers.contracts.statuses import Role

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("secrets")]

NEW_SECRET = "another secret for tests, long enough as well"


def test_a_new_jwt_secret_and_new_passwords(tmp_path: Path) -> None:
    database = own_database(SECRETS)
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": own_redis(SECRETS),
        "WEBHOOK_SECRET_KEY": "a key of webhooks, of 32 bytes or more",
        **own_roles(database),
    }
    customer = uuid4()
    system = SystemWithOneWorker(tmp_path / "data", JWT_SECRET=SECRET, **settings)
    try:
        truck = Truck(system)
        booking = book(system.client(Role.CUSTOMER, customer))["id"]
        new = {
            name: make_url(url).set(password="rotated").render_as_string(False)
            for name, url in own_roles(database).items()
        }
        done = weelo_here("migrate", **{**settings, **new})
        assert done.returncode == 0, done.stderr
        # The running system goes on meanwhile: connections that were opened with the old password still work.
        assert truck.accept(booking)["status"] == "fully_filled"
    finally:
        system.stop()

    system = SystemWithOneWorker(tmp_path / "data", **{**settings, **new, "JWT_SECRET": NEW_SECRET})
    try:
        with pytest.raises(Rejected) as refused:
            system.client(Role.CUSTOMER, customer).booking(booking)
        assert refused.value.status == 401
        http = httpx.Client(timeout=30)
        fresh = WeeloClient(system.url, token(Role.CUSTOMER, customer, secret=NEW_SECRET), wait=20, http=http)
        assert fresh.booking(booking)["status"] == "fully_filled"
        assert fresh.cancel_booking(booking)["assignmentsCancelled"] == 1
        printed = weelo_here(
            "token", "--role", "admin", "--sub", str(uuid4()), **{**settings, "JWT_SECRET": NEW_SECRET}
        )
        headers = {"Authorization": f"Bearer {printed.stdout.strip()}"}
        assert (
            http.get(f"{system.url}/api/v1/broadcasts/{booking}/timeline", headers=headers).status_code == 200
        )
        http.close()
        assert doctor(system) == []
    finally:
        system.stop()

"""The users whom the journeys in the clients' READMEs play."""

from __future__ import annotations

from uuid import uuid4

from tests.support.system import System
from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role


def environment_of_new_users(system: System) -> dict[str, str]:
    """Return the variables that a README's journey reads: the system's address, and a token for each of three new users."""
    driver = uuid4()
    return {
        "WEELO_URL": system.url,
        "CUSTOMER_TOKEN": token(Role.CUSTOMER, uuid4()),
        "TRANSPORTER_TOKEN": token(Role.TRANSPORTER, uuid4()),
        "DRIVER_TOKEN": token(Role.DRIVER, driver),
        "DRIVER_ID": str(driver),
    }

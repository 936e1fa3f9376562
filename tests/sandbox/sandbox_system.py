"""A running `weelo up --sandbox`, its routes, and its database."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import Engine, text

from tests.support import answer_checks
from tests.support.people import DROP, OPEN, PICKUP
from tests.support.system import System
from weelo_client import WeeloClient
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect


class Sandbox(System):
    """A sandbox with one worker for all queues, as by default."""

    options = ("--sandbox",)

    def __init__(self, *arguments: Any, **environment: str) -> None:
        super().__init__(*arguments, WEELO_ENV="sandbox", **environment)
        answer_checks.use_own_document(self.url)
        self.routes = httpx.Client(base_url=f"{self.url}/api/v1/sandbox", timeout=90)
        self.engine: Engine = connect(environment["DATABASE_URL"], isolation="AUTOCOMMIT")

    def stop(self) -> None:
        if hasattr(self, "routes"):  # `routes` is missing if the base class's constructor has raised
            self.routes.close()
            self.engine.dispose()
        super().stop()

    # --- its routes -----------------------------------------------------------------------------------

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.routes.post(path, json=body, headers=named)

    def advance(self, seconds: float) -> dict[str, Any]:
        response = self.post("/clock/advance", {"seconds": seconds})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def clock(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.routes.get("/clock").raise_for_status().json()
        return answer

    def fleet(self, behaviour: str, *, after: float = 5, trucks: int = 1, km_north: float = 1) -> UUID:
        """Start a robot fleet north of the pickup of `book`."""
        body = {
            "latitude": PICKUP["latitude"] + km_north / 111,
            "longitude": PICKUP["longitude"],
            "vehicleType": OPEN[0],
            "vehicleSubtype": OPEN[1],
            "trucks": trucks,
            "behaviour": behaviour,
            "afterSeconds": after,
        }
        response = self.post("/fleets", body)
        assert response.status_code == 201, response.text
        return UUID(response.json()["transporterId"])

    def reset(self) -> None:
        answer = self.post("/reset")
        assert answer.status_code == 200, answer.text

    # --- its people -----------------------------------------------------------------------------------

    def customer(self) -> WeeloClient:
        return self.client(Role.CUSTOMER, uuid4())

    def book(self, customer: WeeloClient, trucks: int = 1) -> str:
        """Request trucks, and return the id of the booking."""
        return customer.create_booking(PICKUP, DROP, *OPEN, trucks_needed=trucks)["id"]

    # --- its rows -------------------------------------------------------------------------------------

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def violations(self, truths: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        # This import reads the settings. At the top of the module it would come too early: pytest imports conftest.py, and
        # with it this module, before the settings are set.
        from weelo_lab.truths import violations

        with self.engine.connect() as connection:
            return violations(connection, truths)

    def log(self, user_id: UUID | str) -> list[tuple[str, str | None]]:
        """Return the events of a user's log, each with the assignment's status, or else with the broadcast's."""
        return [
            (row["event"], row["status"])
            for row in self.rows(
                """SELECT e.event, COALESCE(e.data->'assignment'->>'status', e.data->>'status') AS status
                     FROM log_lines l JOIN events e ON e.id = l.event_id
                    WHERE l.user_id = :user_id AND e.event <> 'command_settled' ORDER BY l.seq""",
                user_id=user_id,
            )
        ]

    def customer_of(self, broadcast_id: str) -> UUID:
        [row] = self.rows("SELECT customer_id FROM broadcasts WHERE id = :id", id=broadcast_id)
        found: UUID = row["customer_id"]
        return found

    def status(self, broadcast_id: str) -> str:
        [row] = self.rows("SELECT status FROM broadcasts WHERE id = :id", id=broadcast_id)
        return str(row["status"])


def moment(text_of_time: str) -> datetime:
    return datetime.fromisoformat(text_of_time)

"""The API in this process, called as an operator."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from flask.testing import FlaskClient

from tests.support.tokens import token
from tests.support.world import World
from weelo_workers.contracts.statuses import Role


@lru_cache
def _client() -> FlaskClient:
    from weelo_api import create_app

    return create_app().test_client()


class Operator:
    """Calls the API with the token of an admin."""

    def __init__(self, world: World) -> None:
        self.id = uuid4()
        self._world = world

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a read below `/api/v1/admin`."""
        response = self.ask("GET", f"/admin{path}", query_string=query)
        assert response.status_code == 200, response.get_json()
        return response.get_json()

    def items(self, path: str, **query: Any) -> list[Any]:
        found: list[Any] = self.get(path, **query)["items"]
        return found

    def ids(self, path: str, **query: Any) -> list[UUID]:
        return [UUID(item["id"]) for item in self.items(path, **query)]

    def do(self, method: str, path: str, body: Any, *, key: str | None = None) -> Any:
        """Send a command, execute it, and return its outcome."""
        headers = {"Idempotency-Key": key} if key else {}
        response = self.ask(method, path, json=body, headers=headers)
        assert response.status_code == 202, response.get_json()
        command_id = UUID(response.get_json()["commandId"])
        self._world.bus.execute(command_id)
        return self._world.outcome(command_id, self.id)

    def ask(self, method: str, path: str, *, role: Role = Role.ADMIN, **request: Any) -> Any:
        """Send a request, by default as an admin, and return the response."""
        headers = {"Authorization": f"Bearer {token(role, self.id)}", **request.pop("headers", {})}
        return _client().open(f"/api/v1{path}", method=method, headers=headers, **request)

"""An admin who uses the console of the API in this process."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role

ORIGIN = "http://localhost"


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def client() -> FlaskClient:
    """Return a browser without cookies."""
    return app().test_client()


class Operator:
    """A browser of an admin."""

    def __init__(self, name: str = "Operator") -> None:
        self.id = uuid4()
        self.name = name
        self.client = client()

    def sign_in(self, **claims: Any) -> TestResponse:
        given = token(Role.ADMIN, self.id, name=self.name, **claims)
        return self.client.post("/console/sign-in", data={"token": given}, headers={"Origin": ORIGIN})

    @property
    def cookie(self) -> str:
        """Return the value of the session's cookie."""
        cookie = self.client.get_cookie("weelo_console", path="/console")
        assert cookie is not None
        return cookie.value

    def get(self, path: str, **query: Any) -> str:
        """Return a page as HTML."""
        response = self.client.get(f"/console{path}", query_string=query)
        assert response.status_code == 200, response.text[:2000]
        return response.text

    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="(\w+)"', self.get("/queues"))
        assert found is not None
        return found[1]

    def use(self, path: str, reason: str, *, key: str = "a key of a form", **headers: str) -> TestResponse:
        """Send the form of a lever, such as `/broadcasts/…/levers/cancel`, as the page does."""
        return self.send(path, {"reason": reason, "key": key}, **headers)

    def send(self, path: str, fields: dict[str, str], **headers: str) -> TestResponse:
        """Send a form of this session with these fields, as the page does."""
        form = {"form_token": self.form_token(), "key": "a key of a form", **fields}
        return self.client.post(
            f"/console{path}", data=form, headers={"Origin": ORIGIN, "HX-Request": "true", **headers}
        )

    def command_id(self, outcome: TestResponse) -> UUID:
        """Return the id of the pending command in the response to a form."""
        found = re.search(r"/console/commands/([0-9a-f-]{36})", outcome.text)
        assert found is not None, outcome.text
        return UUID(found[1])

"""Two ways to use the console: an operator calls the API in this process, or Chromium calls an API process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.api_process import Api
from tests.support.visits import Browser, chromium

if TYPE_CHECKING:
    from tests.console.operator import Operator


@pytest.fixture(autouse=True)
def _unlimited_sign_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the limit of sign-ins per address, because all tests sign in from one address."""
    from weelo_api.commands.rate_limit import TokenBuckets
    from weelo_api.console import routes

    buckets = TokenBuckets(1_000)
    monkeypatch.setattr(routes, "sign_in_attempts", lambda: buckets)


@pytest.fixture
def operator(migrated: None) -> Operator:
    """Return a signed-in admin."""
    # The import is inside the function, because pytest may load this file before `pytest_configure` has set the variables
    # that the module reads.
    from tests.console.operator import Operator

    operator = Operator()
    operator.sign_in()
    return operator


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    yield from chromium()


@pytest.fixture(scope="package")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()

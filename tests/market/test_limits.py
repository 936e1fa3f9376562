"""The limits of the market figures: how long the queries may run, and since when the rows are complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import World
from weelo_workers.contracts.market import MarketView
from weelo_workers.models.engine import is_outage, read_engine
from weelo_workers.queries import market


def figures(now: datetime) -> MarketView:
    with Session(read_engine()) as session:
        return market.figures(session, market.window(None, None, None, now), now)


def test_a_statement_that_takes_too_long_is_ended_and_answered_with_503(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lock on the table makes the first statement wait.
    with world.engine.connect() as blocker:
        blocker.exec_driver_sql("LOCK TABLE broadcasts IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(market, "LIMIT_SECONDS", 0.2)
        with pytest.raises(DBAPIError) as error:
            figures(datetime.now(UTC))
        assert is_outage(error.value)
        blocker.rollback()
    monkeypatch.undo()
    # The next statement uses the same connection. It must not be subject to the earlier, shorter limit.
    assert figures(datetime.now(UTC)).total.requests == 0


def test_the_answer_says_from_when_it_is_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    assert figures(now).complete_from is None
    with_settings(monkeypatch, history_retention_days=30, event_retention_days=2)
    shown = figures(now)
    assert shown.complete_from == now - timedelta(days=30)
    assert shown.accepts_complete_from == now - timedelta(days=2)

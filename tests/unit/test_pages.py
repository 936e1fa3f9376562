"""Cursors that a client has changed are refused."""

from __future__ import annotations

import base64
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.models import Broadcast
from weelo_workers.queries.pages import PageRequest


def refused(cursor: str) -> Rejected:
    """Return the error that this cursor causes. It is raised before any query, so the session needs no connection."""
    with Session() as session, pytest.raises(Rejected) as error:
        PageRequest(20, cursor).apply(session, select(Broadcast), Broadcast.created_at, Broadcast.id)
    return error.value


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-01T00:00:00",
        "1969-12-31T23:59:59+00:00",
        "1970-01-01T00:00:00+23:59",
        "9998-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_a_time_that_is_no_time_of_ours_is_refused(time: str) -> None:
    cursor = base64.urlsafe_b64encode(f"{time}|{uuid4()}".encode()).decode()
    assert refused(cursor).code is Code.VALIDATION_ERROR


def test_a_refused_cursor_keeps_nothing_of_earlier_requests() -> None:
    """Each refusal raises a new exception.

    An exception object that is raised twice keeps the stack frames, and so the data, of both requests.
    """
    assert refused("x") is not refused("x")

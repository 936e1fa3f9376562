"""Runs the checks one after another."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from weelo_workers.doctor.check import CHECKS, Check, Examination, Result

# Importing these modules registers their checks.
from weelo_workers.doctor.checks import (  # noqa: F401
    database,
    invariants,
    mailbox,
    presence,
    processes,
    pushes,
    redis,
    webhooks,
)
from weelo_workers.doctor.errors import first_line
from weelo_workers.models.engine import engine

log = logging.getLogger(__name__)

STATEMENT_SECONDS = 60.0
"""The time limit of a statement of `weelo doctor`: some read whole tables."""


def examine(examination: Examination | None = None, checks: Iterable[Check] | None = None) -> list[Result]:
    """Return the results of all checks that could be run. A check is left out if a check that it needs has a finding.

    If a check itself fails, for example because a statement takes too long, that is its finding.
    """
    examination = examination or Examination(engine(), STATEMENT_SECONDS)
    results: list[Result] = []
    failed: set[str] = set()
    for each in in_order(CHECKS.values() if checks is None else checks):
        if failed.intersection(each.needs):
            continue
        try:
            result = Result(each, tuple(each.find(examination)))
        except (SQLAlchemyError, RedisError) as error:
            result = Result(each, (f"{each.name}: could not be checked: {first_line(error)}",), was_run=False)
        except Exception as error:
            # An error in one check must not keep the others from running.
            log.exception("the check %s failed", each.name)
            text = f"{each.name}: could not be checked: {type(error).__name__}"
            result = Result(each, (text,), was_run=False)
        if not result.ok:
            failed.add(each.name)
        results.append(result)
    return results


def in_order(checks: Iterable[Check]) -> list[Check]:
    """Return the checks sorted by the number of checks that they need, so that each comes after those that it needs."""
    return sorted(checks, key=lambda each: (len(each.needs), each.name))

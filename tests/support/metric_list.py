"""The list of all metrics of the API, the workers and beat."""

from __future__ import annotations

from functools import lru_cache

from weelo_workers.metrics.listing import Listed, metrics


@lru_cache
def all_metrics() -> tuple[Listed, ...]:
    """Import the modules that define metrics, and return all metrics."""
    from weelo_api import create_app
    from weelo_workers.app import load_handlers

    create_app()
    load_handlers()
    return tuple(metrics())

"""The badge of the console's bar: how many checks fail."""

from __future__ import annotations

from weelo_api.console.routes import api, page
from weelo_workers.doctor.current import current_findings


@api.get("/health")
def health() -> str:
    """Return the badge in the bar. Pages load it every ten seconds."""
    return page("health.html", health=current_findings())

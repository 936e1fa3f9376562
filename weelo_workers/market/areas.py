"""The area of a broadcast. There are no service areas yet, so all broadcasts are in one area."""

from __future__ import annotations

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.models import Broadcast

DEFAULT = "default"

AREAS = (DEFAULT,)
"""The names of all areas."""

AREA_OF = f"'{DEFAULT}'::text"
"""The expression in SQL for the area of the row `b` of `broadcasts`. It is `area_of` in SQL."""


def area_of(broadcast: Broadcast) -> str:  # noqa: ARG001 (areas will depend on the pickup)
    """Return the name of the area in which the pickup of this broadcast is."""
    return DEFAULT


def ensure_known(area: str | None) -> None:
    """Raise Rejected(VALIDATION_ERROR) if a caller names an area that does not exist. None: all areas."""
    if area is not None and area not in AREAS:
        message = f"must be one of: {', '.join(AREAS)}"
        raise Rejected(
            Code.VALIDATION_ERROR, f"area: {message}", {"errors": [{"field": "area", "message": message}]}
        )

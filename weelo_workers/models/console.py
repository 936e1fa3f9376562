"""Sessions of the console that were signed out before their end."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.models.base import Base, Id


class ConsoleSignOut(Base):
    """A sign-out from the console. The session itself is in a signed cookie, so only its early end is stored."""

    __tablename__ = "console_sign_outs"

    session_id: Mapped[Id]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """When the cookie expires. From then on it is refused in any case, so this row can be deleted."""

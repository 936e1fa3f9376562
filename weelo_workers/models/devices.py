"""Devices that receive pushes: an app on a phone, identified by its FCM token."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.contracts.statuses import Platform
from weelo_workers.models.base import Base, Id, one_of


class Device(Base):
    __tablename__ = "devices"

    id: Mapped[Id]
    token: Mapped[str]
    user_id: Mapped[UUID]
    platform: Mapped[str]
    registered_at: Mapped[datetime] = mapped_column()

    __table_args__ = (
        UniqueConstraint("token", name="a_token_is_of_one_device"),
        Index("devices_of_a_user", "user_id", "registered_at"),
        one_of("platform", Platform, "a_device_has_a_known_platform"),
    )

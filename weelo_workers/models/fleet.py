"""Users, transporters, vehicles and drivers. A user's row is inserted by their first command."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    DateTime,
    Index,
    Select,
    UniqueConstraint,
    any_,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.contracts.statuses import Role
from weelo_workers.models.base import Base, Id, one_of, status_in


class User(Base):
    __tablename__ = "users"

    id: Mapped[Id]
    role: Mapped[str]
    name: Mapped[str | None]
    phone: Mapped[str | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        # The digits of the phone number in reverse order. A number without its country code is then a prefix, which
        # this index can find.
        Index(
            "users_by_phone",
            literal_column("reverse(regexp_replace(phone, '[^0-9]', '', 'g'))").label("digits"),
            postgresql_ops={"digits": "text_pattern_ops"},
            postgresql_where=text("phone IS NOT NULL"),
        ),
        Index(
            "transporters_newest_first",
            "created_at",
            "id",
            postgresql_where=status_in({Role.TRANSPORTER}, column="role"),
        ),
        one_of("role", Role, "a_user_has_a_known_role"),
    )


class Transporter(Base):
    """A fleet, and whether it wants work. Its position and its last heartbeat are in presence (Redis)."""

    __tablename__ = "transporters"

    id: Mapped[Id]
    is_available: Mapped[bool] = mapped_column(server_default=text("false"))
    changed_at: Mapped[datetime | None]
    recent_changes: Mapped[list[datetime]] = mapped_column(
        ARRAY(DateTime(timezone=True)), server_default=text("'{}'")
    )
    """The times of recent changes of `is_available`, oldest first, for the limit on such changes."""


class Vehicle(Base):
    __tablename__ = "vehicles"

    id: Mapped[Id]
    transporter_id: Mapped[UUID]
    vehicle_number: Mapped[str]
    plate: Mapped[str]
    """The number without spaces and hyphens: "HR 55 X 1" and "HR-55-X-1" are one vehicle."""
    vehicle_type: Mapped[str]
    vehicle_subtype: Mapped[str]
    vehicle_key: Mapped[str]
    capacity_kg: Mapped[int | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("plate", name="a_vehicle_is_registered_once"),
        Index("vehicles_of_a_fleet_by_kind", "transporter_id", "vehicle_key"),
        Index("vehicles_by_kind", "vehicle_key", "transporter_id"),
    )


def of_kinds(kinds: Collection[str] | Select[str] | BindParameter[Any]) -> ColumnElement[bool]:
    """Return the condition that a vehicle of the enclosing query fits a slot of one of these kinds (`TruckRequest.fits`).

    `kinds` may be a parameter of type ARRAY, so that the text of a prepared statement is the same for any number of
    kinds.
    """
    return (
        Vehicle.vehicle_key == any_(kinds)
        if isinstance(kinds, BindParameter)
        else Vehicle.vehicle_key.in_(kinds)
    )


class Driver(Base):
    """A driver of a fleet. `id` is the driver's user id."""

    __tablename__ = "drivers"

    id: Mapped[Id]
    transporter_id: Mapped[UUID]
    name: Mapped[str]
    phone: Mapped[str]
    license_number: Mapped[str | None]
    is_available: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime]

    __table_args__ = (Index("drivers_of_a_fleet", "transporter_id"),)

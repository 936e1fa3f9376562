"""The policies that operators store: one row per scope, and one row per version, which never changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, UniqueConstraint, false, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.models.base import Base, Id


class PolicyScope(Base):
    """A scope: the number of its current version, and whether it is paused."""

    __tablename__ = "policy_scopes"

    scope: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(server_default=text("0"))
    """The current version. 0: no version is stored, which only the scope `default` may have."""
    paused: Mapped[bool] = mapped_column(server_default=false())
    """Whether new requests in this scope are refused."""
    changed_at: Mapped[datetime]
    """When the version or `paused` changed last."""

    __table_args__ = (
        CheckConstraint(
            f"version > 0 OR scope = '{DEFAULT_SCOPE}'", name="a_scope_other_than_default_has_a_version"
        ),
    )


class PolicyVersion(Base):
    """A version of the policy of a scope. Rows are only inserted."""

    __tablename__ = "policy_versions"

    id: Mapped[Id]
    scope: Mapped[str]
    version: Mapped[int]
    """From 1, without gaps in a scope."""
    area: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """`{"center": {"latitude", "longitude"}, "radiusKm"}`; null: everywhere."""
    vehicle_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """The types of vehicles for which this policy is; null: all."""
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """The values that this version sets, keyed in camel case."""
    longest_search_seconds: Mapped[int]
    """The longest time that this version lets a search last; 0 if it sets none. Queries of open offers read no older ones."""
    reason: Mapped[str]
    """The operator's own words."""
    actor_id: Mapped[UUID | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("scope", "version", name="versions_of_a_policy_are_numbered"),
        CheckConstraint(
            f"scope <> '{DEFAULT_SCOPE}' OR (area IS NULL AND vehicle_types IS NULL)",
            name="the_default_policy_is_for_everything",
        ),
        Index("policy_versions_by_longest_search", "longest_search_seconds"),
    )

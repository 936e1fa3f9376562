"""Recipients that cannot be derived from rows when an event is written, and are therefore given with it.

Objects of these classes may be stored as JSON, and a newer version reads what an earlier one has stored. So new fields
need defaults.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Recipients(BaseModel):
    """Base class. An event that declares only this class stores no recipients: all can be derived from rows."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ToCaller(Recipients):
    """The user who sent the command."""

    caller_id: UUID


class ToUser(Recipients):
    """One user, of any role."""

    user_id: UUID


class ToTransporter(Recipients):
    transporter_id: UUID


class ToDriver(Recipients):
    """One driver: `driver_id`, or if `driver_id` is None the present driver of the assignment."""

    driver_id: UUID | None = None


class ToTransportersWithTrucks(Recipients):
    """The transporters whose trucks are assigned, each with the number of these trucks."""

    assigned_to: dict[UUID, int]


class OfferedTo(BaseModel):
    """What one transporter is offered: the distance to the pickup, and the kinds of trucks that they have free.

    `gave_back`: slots of the broadcast that the transporter gave back. They are not offered to this transporter.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    km: float | None
    kinds: tuple[str, ...]
    gave_back: tuple[UUID, ...] = ()


class ToOffered(Recipients):
    """The transporters to whom an offer is made. `slots`: the open slots by kind of truck."""

    slots: dict[str, tuple[UUID, ...]]
    offered: dict[UUID, OfferedTo]

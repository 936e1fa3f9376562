"""Handler: an app registers its token for pushes."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.fleet import DeviceView, RegisterDevice
from weelo_workers.contracts.statuses import Platform
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Device
from weelo_workers.randomness import new_id

# The limit on tokens per user. There has to be one, because a phone that gets a new token may not report that the old
# one is gone.
MAX_DEVICES = 10


@handles(RegisterDevice)
def register_device(command: RegisterDevice, uow: UnitOfWork) -> DeviceView:
    """Store the token for this user, even if another user had it, because a phone may get a new owner.

    Keep the user's newest tokens.
    """
    values = {"user_id": command.user_id, "platform": command.platform, "registered_at": uow.now}
    uow.session.execute(
        insert(Device)
        .values(id=new_id(), token=command.token, **values)
        .on_conflict_do_update(constraint="a_token_is_of_one_device", set_=values)
    )
    newest = (
        select(Device.id)
        .where(Device.user_id == command.user_id)
        .order_by(Device.registered_at.desc(), Device.id)
        .limit(MAX_DEVICES)
    )
    uow.session.execute(
        delete(Device).where(Device.user_id == command.user_id, Device.id.not_in(newest)),
        execution_options={"synchronize_session": False},
    )
    return DeviceView(token=command.token, platform=Platform(command.platform))

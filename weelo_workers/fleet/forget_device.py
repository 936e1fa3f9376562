"""Handler: an app signs out and receives no more pushes."""

from __future__ import annotations

from sqlalchemy import delete

from weelo_workers.contracts.fleet import ForgetDevice, ForgottenView
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Device


@handles(ForgetDevice)
def forget_device(command: ForgetDevice, uow: UnitOfWork) -> ForgottenView:
    """Delete the token if it is this user's. Repeating it succeeds; another user's token is kept."""
    uow.session.execute(
        delete(Device).where(Device.token == command.token, Device.user_id == command.user_id),
        execution_options={"synchronize_session": False},
    )
    return ForgottenView(token=command.token)

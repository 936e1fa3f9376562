"""Registration of devices for pushes."""

from typing import Annotated

from flask import Response
from pydantic import StringConstraints

from weelo_api.commands.gateway import submit
from weelo_api.http.access import anyone, caller
from weelo_api.http.declared import submits
from weelo_api.views.common import Accepted, Parameters, blueprint
from weelo_workers.contracts.fleet import (
    DeviceDetails,
    DeviceView,
    ForgetDevice,
    ForgottenView,
    RegisterDevice,
)

api = blueprint("devices")


class ByToken(Parameters):
    """A path with the push token of a phone."""

    token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{8,4096}$")]
    """The FCM registration token of the app on the phone."""


@api.put("/devices/<token>", responses={200: DeviceView, 202: Accepted})
@anyone
@submits(RegisterDevice)
def register_device(path: ByToken, body: DeviceDetails) -> Response:
    """Register an app's FCM token for the caller's pushes."""
    return submit(RegisterDevice(user_id=caller().id, token=path.token, platform=body.platform), body)


@api.delete("/devices/<token>", responses={200: ForgottenView, 202: Accepted})
@anyone
@submits(ForgetDevice)
def forget_device(path: ByToken) -> Response:
    """Stop pushes to this app."""
    return submit(ForgetDevice(user_id=caller().id, token=path.token))

"""The tables and their constraints, which make one of two conflicting writes fail. Constraint names are sentences."""

from weelo_workers.models.audit import AuditRecord
from weelo_workers.models.base import Base
from weelo_workers.models.broadcasts import Broadcast, Hold, Offer, PassedOver, TransitionRecord, TruckRequest
from weelo_workers.models.console import ConsoleSignOut
from weelo_workers.models.devices import Device
from weelo_workers.models.erasures import Erasure
from weelo_workers.models.fleet import Driver, Transporter, User, Vehicle
from weelo_workers.models.health import BeatHeartbeat, CheckResult, CheckRun
from weelo_workers.models.log import EventRecord, LogHead, LogLine
from weelo_workers.models.mailbox import MailboxRow, Replay
from weelo_workers.models.policies import PolicyScope, PolicyVersion
from weelo_workers.models.relations import Relation
from weelo_workers.models.trips import Assignment, driver_busy, slots_given_back, vehicle_busy
from weelo_workers.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "Assignment",
    "AuditRecord",
    "Base",
    "BeatHeartbeat",
    "Broadcast",
    "CheckResult",
    "CheckRun",
    "ConsoleSignOut",
    "Device",
    "Driver",
    "Erasure",
    "EventRecord",
    "Hold",
    "LogHead",
    "LogLine",
    "MailboxRow",
    "Offer",
    "PassedOver",
    "PolicyScope",
    "PolicyVersion",
    "Relation",
    "Replay",
    "TransitionRecord",
    "Transporter",
    "TruckRequest",
    "User",
    "Vehicle",
    "Webhook",
    "WebhookDelivery",
    "driver_busy",
    "slots_given_back",
    "vehicle_busy",
]

"""Classifies the fields of the JSON that is stored: in events, in the payloads and results of commands, in requests.

A field stays and needs no entry if its value is an id, a time, a truth value or a word from a fixed list. Every other
field is either in KEPT, or in PERSONAL with what replaces it.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from weelo_workers.contracts import (
    broadcasts,
    delivery,
    fleet,
    notifications,
    offers,
    outcomes,
    person,
    policies,
    relations,
    trips,
    webhooks,
    wire,
)
from weelo_workers.contracts.results import RESULTS
from weelo_workers.person.replacements import (
    ADDRESS_OF_NOTHING,
    COARSE,
    NOTHING,
    PLATE,
    WHOLE_KM,
    WORD,
    ZEROS,
    Replacement,
)

KEPT = frozenset(
    """
    vehicle_type vehicle_subtype vehicle_key vehicle_requirements requested_vehicles quantity count capacity_kg
    price_per_truck trucks_needed trucks_filled trucks_remaining assigned_to_you assignments_cancelled remaining
    transporters_notified request_number radius_km radius_step distance_km version step round
    seq from_seq to_seq delivered_seq lines secret_version attempt http_status seconds events
    event at to command platform
    scope settings effective vehicle_types
    """.split()  # noqa: SIM905 (a list of quoted words is harder to read)
)
"""Numbers, kinds of vehicles, names of events and commands. A name means the same in every model."""

PERSONAL: Mapping[type[BaseModel], Mapping[str, Replacement]] = {
    wire.Place: {"latitude": COARSE, "longitude": COARSE, "address": WORD},
    trips.Waypoint: {"lat": COARSE, "lng": COARSE},
    # Fields of requests and commands.
    broadcasts.BroadcastRequest: {"goods_type": NOTHING, "notes": NOTHING},
    broadcasts.CancelBroadcast: {"reason": NOTHING},
    broadcasts.CatchUp: {"latitude": COARSE, "longitude": COARSE},
    broadcasts.CancelByOperator: {"reason": WORD},
    broadcasts.ExpireByOperator: {"reason": WORD},
    broadcasts.WidenByOperator: {"reason": WORD},
    fleet.SetAvailabilityByOperator: {"reason": WORD},
    relations.SetByOperator: {"reason": WORD},
    relations.RemoveByOperator: {"reason": WORD},
    offers.DeclineOffer: {"reason": NOTHING},
    trips.DriverDeclines: {"reason": NOTHING},
    trips.GiveBack: {"note": NOTHING},
    trips.ReportNoShow: {"note": NOTHING},
    trips.CancelTruck: {"note": NOTHING},
    trips.EndTrip: {"note": WORD},
    fleet.DriverDetails: {"name": WORD, "phone": ZEROS, "license_number": NOTHING},
    fleet.RegisterVehicle: {"vehicle_number": PLATE},
    fleet.RegisterDevice: {"token": WORD},
    fleet.ForgetDevice: {"token": WORD},
    webhooks.NewWebhook: {"url": ADDRESS_OF_NOTHING, "description": NOTHING},
    webhooks.WebhookChanges: {"url": ADDRESS_OF_NOTHING, "description": NOTHING},
    # Fields of events and results.
    broadcasts.NewBroadcast: {"goods_type": NOTHING, "pickup_distance_km": WHOLE_KM},
    broadcasts.BroadcastView: {"goods_type": NOTHING, "notes": NOTHING},
    trips.AssignmentView: {"vehicle_number": PLATE},
    fleet.DriverView: {"name": WORD, "phone": ZEROS},
    fleet.VehicleView: {"vehicle_number": PLATE},
    fleet.DeviceView: {"token": WORD},
    fleet.ForgottenView: {"token": WORD},
    webhooks.WebhookView: {"url": ADDRESS_OF_NOTHING, "description": NOTHING, "last_error": NOTHING},
    webhooks.WebhookTestView: {"error": NOTHING},
    webhooks.WebhookDisabled: {"url": ADDRESS_OF_NOTHING},
}
"""Personal fields by the class that declares them; subclasses inherit them."""

BY_NAME_OF_THE_EVENT = {
    (delivery.EventEnvelope, "data"),
    (outcomes.CommandSettled, "result"),
    (outcomes.CommandSettled, "error"),
}
"""Fields whose form depends on another field of the object. `scrubbing.py` reads that field."""

MARKETS = {(policies.Center, "latitude"), (policies.Center, "longitude")}
"""Places that belong to no person: the centres of areas."""

IDS_ONLY = {(notifications.SendPushes, "data"), (delivery.EventEnvelope, "to")}
"""Objects that contain only ids, times and numbers."""

OPERATORS_WORDS = {
    (person.ErasePerson, "reason"),
    (policies.PutPolicy, "reason"),
    (policies.PausePolicy, "reason"),
    (policies.PolicyView, "reason"),
}
"""The reasons for an erasure and for a policy, which must not name a person."""

PERSON_OF: Mapping[type[BaseModel], str] = {
    broadcasts.BroadcastView: "customer_id",
    broadcasts.CatchUp: "transporter_id",
    trips.AssignmentView: "transporter_id",
    fleet.RegisterDriver: "driver_id",
    fleet.DriverView: "id",
}
"""The field with the id of the person whom an object is about, in events and results that others receive.

The driver of an assignment is not its person: the assignment has only the driver's id.
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a model. `nested`: the model of the objects that the field contains; None if it contains none."""

    name: str
    nested: type[BaseModel] | None
    replacement: Replacement | None


@lru_cache(maxsize=512)
def fields_of(model: type[BaseModel]) -> Mapping[str, Field]:
    """Return the fields of a model, under Python's names and under those of JSON."""
    found: dict[str, Field] = {}
    for name, info in model.model_fields.items():
        field = Field(name, next(_models_in(info.annotation), None), replacement_of(model, name))
        found[name] = field
        found[info.alias or name] = field
    return found


def replacement_of(model: type[BaseModel], name: str) -> Replacement | None:
    """Return what replaces this field; None if it stays."""
    for each in model.__mro__:
        if (of_class := PERSONAL.get(each)) and name in of_class:
            return of_class[name]
    return None


def person_field(model: type[BaseModel]) -> str | None:
    """Return the field with the id of the person whom objects of this model are about; None if there is none."""
    return next((PERSON_OF[each] for each in model.__mro__ if each in PERSON_OF), None)


@lru_cache(maxsize=512)
def has_personal(model: type[BaseModel]) -> bool:
    """Return whether objects of this model, or objects in them, have personal fields."""
    return any(
        field.replacement is not None or (field.nested is not None and has_personal(field.nested))
        for field in fields_of(model).values()
    ) or any(owner is model for owner, _ in BY_NAME_OF_THE_EVENT)


def unclassified(model: type[BaseModel]) -> Iterator[str]:
    """Yield the fields of this model, and of models nested in it, that are classified neither as kept nor as personal."""
    for name, info in model.model_fields.items():
        if next(_models_in(info.annotation), None) is not None:
            for each in _models_in(info.annotation):
                yield from unclassified(each)
        elif not (
            _is_plain(info.annotation)
            or name in KEPT
            or replacement_of(model, name) is not None
            or any(
                name == named and issubclass(model, owner)
                for owner, named in BY_NAME_OF_THE_EVENT | IDS_ONLY | OPERATORS_WORDS | MARKETS
            )
        ):
            yield f"{model.__name__}.{name}"


def result_model(command_name: str) -> type[BaseModel] | None:
    """Return the model of the result of the command of this name; None if it has none."""
    return _RESULTS.get(command_name)


_RESULTS: Mapping[str, type[BaseModel]] = {command.name: model for command, model in RESULTS.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _models_in(each)


def _is_plain(annotation: Any) -> bool:
    """Return whether values of this type are ids, times, truth values, words from a fixed list, or lists of these."""
    origin = get_origin(annotation)
    if origin is Literal or annotation in (None, type(None), ..., AwareDatetime):
        return True
    if origin is Annotated:
        return _is_plain(get_args(annotation)[0])
    if origin in (Union, types.UnionType, list, tuple, frozenset):
        return all(map(_is_plain, get_args(annotation)))
    return isinstance(annotation, type) and issubclass(annotation, (UUID, datetime, bool, Enum))

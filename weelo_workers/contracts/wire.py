"""The JSON form of values: camelCase names, UUIDs, RFC 3339 times in UTC with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_workers.contracts.json_schema import model_schema


def rfc3339(moment: datetime) -> str:
    """Return `2026-02-19T10:00:00.000Z`: always UTC with three decimals, so that sorting the texts sorts the times."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _without_nul(text: str) -> str:
    # PostgreSQL's type text cannot contain the character NUL. Validation refuses NUL, because otherwise the command
    # would fail.
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _encodable(text: str) -> str:
    # JSON escapes may contain a lone surrogate. It is refused, because it cannot be stored as UTF-8.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text") from None
    return text


def two_decimals(km: float) -> float:
    """Return a distance rounded to two decimals, for responses and events. The server compares unrounded distances."""
    return round(km, 2)


Timestamp = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    # Pydantic knows that the serializer returns a text, but not the format of this text, so the format is stated here.
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-02-19T10:00:00.000Z"]}),
]
DeviceTime = Annotated[
    AwareDatetime,
    Field(
        ge=datetime(1970, 1, 1, tzinfo=UTC),
        lt=datetime(2100, 1, 1, tzinfo=UTC),
        examples=["2026-02-19T10:00:00.000Z"],
    ),
]
"""A time from a phone's clock. Wrong clocks are accepted (a reset one shows 1970), but not years in which conversions
between time zones overflow."""
Latitude = Annotated[
    float,
    Field(
        ge=-90, le=90, allow_inf_nan=False, description="The latitude in degrees, WGS 84.", examples=[28.6139]
    ),
]
Longitude = Annotated[
    float,
    Field(
        ge=-180,
        le=180,
        allow_inf_nan=False,
        description="The longitude in degrees, WGS 84.",
        examples=[77.209],
    ),
]
Rupees = Annotated[
    int, Field(ge=0, le=100_000_000, description="An amount in whole rupees.", examples=[12000])
]
Kilometres = Annotated[
    float, PlainSerializer(two_decimals, return_type=float, when_used="json"), Field(examples=[4.27])
]
"""A distance in km. JSON has two decimals; Python keeps the full precision."""

# The lengths are set in StringConstraints. If a length came after a validator, pydantic's error messages would say
# "items" instead of "characters".
ShortText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_without_nul),
    AfterValidator(_encodable),
]
AddressText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(_without_nul),
    AfterValidator(_encodable),
]
LongText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=1000),
    AfterValidator(_without_nul),
    AfterValidator(_encodable),
]


NoteText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=500),
    AfterValidator(_without_nul),
    AfterValidator(_encodable),
]

RequiredNote = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(_without_nul),
    AfterValidator(_encodable),
]


# --- fields that mean the same in many models ---------------------------------------------------------

BroadcastId = Annotated[
    UUID,
    Field(
        description="The id of the broadcast, which is the booking or the order.",
        examples=["6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"],
    ),
]
TruckRequestId = Annotated[
    UUID,
    Field(
        description="The id of the truck request: the slot for one truck in a broadcast.",
        examples=["b0a3d7c4-8f1e-4f66-8d0b-51c2f3a9e611"],
    ),
]
AssignmentId = Annotated[
    UUID,
    Field(
        description="The id of the assignment: one truck with its driver on one slot.",
        examples=["2d9f6c1a-70b4-4b39-9f0d-8f4c5a1e2b73"],
    ),
]
TripId = Annotated[
    UUID,
    Field(
        description="The id of the trip, under which the driver reports statuses and positions.",
        examples=["e4b7a1c9-5d28-4c0e-a6f3-0b9d1c7e8f52"],
    ),
]
CustomerId = Annotated[
    UUID,
    Field(
        description="The user id of the customer who asked for the trucks.",
        examples=["9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34"],
    ),
]
TransporterId = Annotated[
    UUID,
    Field(
        description="The user id of the transporter, who owns a fleet.",
        examples=["41d8c2b5-e9a0-4f37-8c64-1a5b7e3d9f08"],
    ),
]
DriverId = Annotated[
    UUID,
    Field(description="The user id of the driver.", examples=["c7a25e93-16f4-4d8b-a0e7-9b3c5f1d2e46"]),
]
VehicleId = Annotated[
    UUID,
    Field(
        description="The id of the vehicle, as in the transporter's list of vehicles.",
        examples=["75e0b3f8-4c9a-4126-9d5e-6a2f8b1c0d97"],
    ),
]
HoldId = Annotated[
    UUID,
    Field(
        description="The id of the hold: slots that are kept for one transporter for a short time.",
        examples=["18f4a6d0-9e3b-4c75-b2a8-5d7c0e9f1b63"],
    ),
]
CommandId = Annotated[
    UUID,
    Field(
        description="The id of the command. A repeated request with the same Idempotency-Key has the same one.",
        examples=["d35b9e07-8a1c-4f62-9b4d-c0e7f2a6583b"],
    ),
]
Version = Annotated[
    int,
    Field(
        description="Grows by one with every transition of the broadcast. Drop data with a lower version than yours.",
        examples=[4],
    ),
]
StateChangedAt = Annotated[Timestamp, Field(description="When the status changed last.")]
TrucksNeeded = Annotated[int, Field(description="How many trucks the broadcast is for.", examples=[3])]
TrucksFilled = Annotated[
    int,
    Field(
        description="How many of the trucks are found: their slots have a truck with a driver.", examples=[1]
    ),
]
TransportersNotified = Annotated[
    int, Field(description="To how many transporters the broadcast has been offered so far.", examples=[12])
]
RadiusStep = Annotated[
    int,
    Field(
        description="The number of the step that reached the transporter. Each step searches a wider radius. 0: the step before the first radius, which offers only to transporters who have a contract with the customer.",
        examples=[1],
    ),
]
RouteKilometres = Annotated[
    Kilometres,
    Field(
        description="The distance from pickup to drop in km, as the customer's app named it; null if it named none.",
        examples=[268.5],
    ),
]
PickupKilometres = Annotated[
    Kilometres,
    Field(description="The distance from the transporter to the pickup in km; null if it is not known."),
]
PricePerTruck = Annotated[
    int,
    Field(
        description="The price that the customer offers for each truck, in whole rupees; null if none was named.",
        examples=[12000],
    ),
]
VehicleNumberText = Annotated[
    str, Field(description="The registration number of the vehicle.", examples=["HR55X1234"])
]
Note = Annotated[
    NoteText,
    Field(
        description="The user's own words, kept for operators. They have no effect.", examples=["Flat tyre"]
    ),
]
OwnWords = Annotated[
    LongText,
    Field(description="The user's own words, kept for operators. They have no effect.", examples=["Too far"]),
]


class Wire(BaseModel):
    """Base of the values of the API: frozen, camelCase in JSON, snake_case in Python.

    The docstring of a class and the text below a field become descriptions in openapi.json and asyncapi.json. They are
    for developers of apps, so they name each field as JSON does.
    """

    model_config = ConfigDict(
        # The texts of errors are logged. They must not contain inputs, which may be names, telephone numbers and
        # places.
        hide_input_in_errors=True,
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
        # Schemas of responses and events list fields with a default as required, because these fields are always there.
        # In requests they may be left out.
        json_schema_serialization_defaults_required=True,
    )

    may_be_absent: ClassVar[frozenset[str]] = frozenset()
    """The fields, by their names in JSON, that the model's serializer may leave out."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return model_schema(core_schema, handler, cls.may_be_absent)

    def json_dict(self) -> dict[str, Any]:
        """Return the value as JSON-ready data with the contract's names."""
        return self.model_dump(mode="json", by_alias=True)


class Request(Wire):
    """Base of request bodies. Unknown fields are refused, and text is not converted to numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Validate JSON as pydantic does, but accept fields only under the contract's names, not under Python's."""
        return super().model_validate_json(json_data, **{"by_name": False, **options})


class Place(Request):
    """A pickup or drop location."""

    latitude: Latitude
    longitude: Longitude
    address: Annotated[
        AddressText,
        Field(description="The address, as a driver would read it.", examples=["Connaught Place, New Delhi"]),
    ]

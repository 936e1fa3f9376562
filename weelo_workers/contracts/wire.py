"""The JSON form of values: camelCase names, UUIDs, RFC 3339 times in UTC with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)
from pydantic.alias_generators import to_camel


def rfc3339(moment: datetime) -> str:
    """Return `2026-02-19T10:00:00.000Z`: always UTC with three decimals, so that sorting the texts sorts the times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_nul(text: str) -> str:
    # PostgreSQL's text cannot hold NUL, so it is refused at validation instead of failing in a command.
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _encodable(text: str) -> str:
    # JSON escapes may contain a lone surrogate, which cannot be stored as UTF-8.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text") from None
    return text


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
DeviceTime = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))
]
"""A time from a phone's clock. Wrong clocks are accepted (a reset one shows 1970), but not years in which conversions
between time zones overflow."""
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, description="degrees, WGS 84")]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, description="degrees, WGS 84")]
Rupees = Annotated[int, Field(ge=0, le=100_000_000, description="whole rupees")]

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


class Wire(BaseModel):
    """Base of the values of the API: frozen, camelCase in JSON, snake_case in Python."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

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
    address: AddressText

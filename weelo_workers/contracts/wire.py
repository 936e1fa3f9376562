"""How values look in JSON: camelCase names, UUIDs, RFC 3339 times in UTC with milliseconds."""

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
    """`2026-02-19T10:00:00.000Z`: always UTC, always three decimals, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_nul(text: str) -> str:
    # PostgreSQL's text cannot hold NUL, so it is refused at the door and not by an error half-way.
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _encodable(text: str) -> str:
    # A lone surrogate is legal in JSON escapes but is no character: it cannot be stored as UTF-8.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text") from None
    return text


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
DeviceTime = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))
]
"""What the clock of a phone may show, a wrong one too: reset ones show 1970. Other times do not exist everywhere."""
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, description="degrees, WGS 84")]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, description="degrees, WGS 84")]
Rupees = Annotated[int, Field(ge=0, le=100_000_000, description="whole rupees")]

# The lengths stand inside StringConstraints: behind a validator, pydantic would speak of "items" and not of characters.
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


class Wire(BaseModel):
    """What travels: frozen, camelCase in JSON, snake_case in Python."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def json_dict(self) -> dict[str, Any]:
        """This value as JSON-ready data in the contract's names."""
        return self.model_dump(mode="json", by_alias=True)


class Request(Wire):
    """What comes from outside. Unknown fields are refused and numbers are not guessed from text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As JSON it comes from outside, where fields have the contract's names alone."""
        return super().model_validate_json(json_data, **{"by_name": False, **options})


class Place(Request):
    """A pickup or a drop."""

    latitude: Latitude
    longitude: Longitude
    address: AddressText

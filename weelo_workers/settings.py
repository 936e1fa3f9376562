"""All settings, read once from the environment.

In development nothing has to be set: `weelo up` provides the two servers and the secret. In production
(`WEELO_ENV=production`) no secret is generated: without JWT_SECRET no process starts.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from weelo_workers import database_url, google_account, http_url, redis_url

MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2: an HS256 key is at least as long as the hash
# The fewest distinct characters. Random secrets have more, even in hexadecimal; placeholders typed by hand have fewer.
MIN_SECRET_VARIETY = 10

_STEPS = "give growing distances in km, like 10,25,50,75"


class ConfigurationError(Exception):
    """Raised for a setting that cannot be used. Its text is one line and names the environment variable."""


class Settings(BaseSettings):
    """The validated settings. Field names are the environment variables' names in lower case."""

    model_config = SettingsConfigDict(
        case_sensitive=False, extra="ignore", frozen=True, env_ignore_empty=True
    )

    weelo_env: Literal["development", "production"] = "development"

    # URLs carry passwords, so they never appear in a repr and thus in no log.
    database_url: str = Field(default="postgresql://localhost/weelo", repr=False)
    database_read_url: str | None = Field(default=None, repr=False)
    # If these are set, DATABASE_URL is the URL of the schema's owner. `weelo migrate` creates the two roles with their
    # rights (models/roles.py), and each process gets the URL of its role as its own DATABASE_URL.
    database_api_url: str | None = Field(default=None, repr=False)
    database_workers_url: str | None = Field(default=None, repr=False)
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    celery_broker_url: str | None = Field(default=None, repr=False)
    jwt_secret: str | None = Field(default=None, repr=False)
    jwt_audience: str | None = None

    broadcast_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 120
    radius_steps_km: Annotated[tuple[float, ...], NoDecode] = (10.0, 25.0, 50.0, 75.0)
    radius_step_seconds: Annotated[float, Field(gt=0, le=3_600)] = 15.0
    driver_accept_seconds: Annotated[float, Field(gt=0, le=86_400)] = 45.0
    hold_seconds: Annotated[float, Field(gt=0, le=86_400)] = 90.0
    presence_ttl_seconds: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    # 0: no limit.
    last_step_max_km: Annotated[float, Field(ge=0, le=20_100)] = 0.0
    min_offers_per_step: Annotated[int, Field(ge=0, le=10_000)] = 1
    max_offers_per_step: Annotated[int, Field(ge=1, le=10_000)] = 250
    max_open_offers: Annotated[int, Field(ge=1, le=10_000)] = 20
    sweep_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    shed_after_seconds: Annotated[float, Field(gt=0, le=600)] = 1.0
    commands_per_second: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    event_retention_days: Annotated[int, Field(ge=1, le=3_650)] = 7
    history_retention_days: Annotated[int, Field(ge=0, le=36_500)] = 0

    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    metrics_dir: str | None = None

    # Only a link on the API's front page.
    flower_url: str | None = None

    google_application_credentials: str | None = None
    fcm_endpoint: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Remove white space around every value (mounted secrets and CRLF files end with some), and drop empty values.

        A value that is not UTF-8 is refused: it can neither be encoded nor handed to a library.
        """
        stripped = {
            name: value.strip() if isinstance(value, str) else value for name, value in values.items()
        }
        for name, value in stripped.items():
            if isinstance(value, str) and not is_text(value):
                raise ValueError(f"{name.upper()}: is not text in UTF-8")
        return {name: value for name, value in stripped.items() if value != ""}

    @field_validator("radius_steps_km", mode="before")
    @classmethod
    def _split_steps(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            raise ValueError(f"{_STEPS}, not {value!r}") from None

    @field_validator("radius_steps_km")
    @classmethod
    def _steps_grow(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if not steps or any(not 0 < km <= 20_000 for km in steps) or list(steps) != sorted(set(steps)):
            raise ValueError(_STEPS)
        return steps

    @field_validator("database_url", "database_read_url", "database_api_url", "database_workers_url")
    @classmethod
    def _is_postgres(cls, url: str | None) -> str | None:
        if url is not None:
            database_url.read(url)
        return url

    @field_validator("redis_url", "celery_broker_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None:
            http_url.check_host_and_port(url)
            redis_url.read(url)
        return url

    @field_validator("fcm_endpoint", "flower_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None:
            http_url.check(url)
        return url

    @field_validator("google_application_credentials")
    @classmethod
    def _can_sign(cls, path: str | None) -> str | None:
        if path is not None:
            google_account.load(path)
        return path

    @field_validator("metrics_dir")
    @classmethod
    def _is_a_directory_to_write_to(cls, path: str | None) -> str | None:
        if path is not None:
            there = Path(path)
            while not there.exists() and there != there.parent:
                there = there.parent  # missing directories are created later
            if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
                raise ValueError(f"must be a directory that this process may write to; {there} is not")
        return path

    @field_validator("jwt_secret")
    @classmethod
    def _secret_is_long_enough(cls, secret: str | None) -> str | None:
        if secret is not None and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes")
        return secret

    @model_validator(mode="after")
    def _last_step_reaches_beyond_the_rings(self) -> Self:
        if 0 < self.last_step_max_km < self.radius_steps_km[-1]:
            raise ValueError(
                "LAST_STEP_MAX_KM: must be 0 (no limit) or at least the last of RADIUS_STEPS_KM, "
                f"{self.radius_steps_km[-1]:g}"
            )
        return self

    @model_validator(mode="after")
    def _production_invents_nothing(self) -> Self:
        if self.weelo_env == "production" and self.jwt_secret is None:
            raise ValueError("JWT_SECRET: must be set in production (at least 32 bytes)")
        if self.weelo_env == "production" and len(set(self.jwt_secret or "")) < MIN_SECRET_VARIETY:
            raise ValueError("JWT_SECRET: must be random in production, as `openssl rand -hex 32` makes it")
        return self

    @model_validator(mode="after")
    def _metrics_have_an_address(self) -> Self:
        if self.metrics_port is not None:
            try:
                found = socket.getaddrinfo(self.metrics_host, 0, type=socket.SOCK_STREAM)
                family, kind, protocol, _, address = found[0]
                with socket.socket(family, kind, protocol) as probe:
                    probe.bind(address)  # port 0, because workers start even if METRICS_PORT is in use
            except (OSError, UnicodeError):
                raise ValueError(
                    "METRICS_HOST: must be an address of this machine, like 127.0.0.1 or 0.0.0.0"
                ) from None
        return self

    @property
    def broker_url(self) -> str:
        return self.celery_broker_url or self.redis_url


def is_text(value: str) -> bool:
    """Return False for a value with bytes that are not UTF-8: Python keeps them as surrogates, which cannot be encoded."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def given(variable: str) -> str | None:
    """Return the environment variable without white space around it; None if it is unset or empty."""
    return os.environ.get(variable, "").strip() or None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return this process's settings. Raises ConfigurationError with one line that names the variable."""
    try:
        return Settings()
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        variable = str(first["loc"][0]).upper() if first["loc"] else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{variable}: {reason}" if variable else reason) from None

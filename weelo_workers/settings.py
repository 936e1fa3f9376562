"""All settings, read once from the environment.

In development nothing has to be set: `weelo up` provides the two servers and the secret. In production
(`WEELO_ENV=production`) no secret is generated: without JWT_SECRET no process starts.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from weelo_workers import (
    database_url,
    google_account,
    http_url,
    policy_limits,
    rabbitmq_url,
    redis_url,
    trusted_authorities,
)

MIN_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as the hash."""

# The minimum of distinct characters in a secret. Random secrets have more, even in hexadecimal; placeholders typed by
# hand have fewer.
MIN_SECRET_VARIETY = 10


class ConfigurationError(Exception):
    """Raised for a setting that cannot be used. Its text is one line and names the environment variable."""


class Settings(BaseSettings):
    """The validated settings. Field names are the environment variables' names in lower case.

    The text below each field is its row in docs/configuration.md, which a test compares.
    """

    model_config = SettingsConfigDict(
        case_sensitive=False,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    weelo_env: Literal["development", "production", "sandbox"] = "development"
    """In `production` no secret is generated: without JWT_SECRET the start fails. In `sandbox` the clock can be moved and every caller gets tokens; `weelo up --sandbox` sets it ([sandbox](sandbox.md))."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest level at which log lines are written; `WARN` means `WARNING`. At `DEBUG`, lines of libraries may contain personal data."""
    log_format: Literal["console", "json"] | None = None
    """The format of log lines: `console` for people, `json` for programs. Without it: `json` in production, else `console`."""
    otel_exporter_otlp_endpoint: str | None = Field(default=None, repr=False)
    """The address of an OpenTelemetry collector (OTLP over HTTP), such as `http://localhost:4318`. If it is set, every process sends traces, for which the packages of `weelo[otel]` are needed."""

    # URLs contain passwords. With repr=False no log shows them.
    database_url: str = Field(default="postgresql://localhost/weelo", repr=False)
    """`postgresql://…` in every form that `psql` accepts. Parameters in the URL take precedence over our defaults. Without it `weelo up` starts an embedded server. If `DATABASE_API_URL` and `DATABASE_WORKERS_URL` are set, this is the role that owns the schema."""
    database_read_url: str | None = Field(default=None, repr=False)
    """A replica for the reads of the API. Without it the API reads from `DATABASE_URL`."""
    database_api_url: str | None = Field(default=None, repr=False)
    """The database role of the API. `weelo migrate` creates it and its rights; `weelo up` passes it to the API as `DATABASE_URL`."""
    database_workers_url: str | None = Field(default=None, repr=False)
    """The database role of workers and beat. `weelo migrate` creates it and its rights; `weelo up` passes it to them as `DATABASE_URL`."""
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    """Presence and the live stream: `redis://`, `rediss://` (certificates are verified) or `unix://`. Parameters: `db`, and with TLS the `ssl_…` of redis-py. Without it `weelo up` starts an embedded server."""
    celery_broker_url: str | None = Field(default=None, repr=False)
    """The broker that carries Celery messages: a Redis, in the forms of `REDIS_URL`, or RabbitMQ (`amqp://user:password@host:5672/virtual-host`; with `amqps://` certificates are verified, by `?ssl_ca_certs=` or the system's authorities). Without it: `REDIS_URL`."""
    jwt_secret: str | None = Field(default=None, repr=False)
    """Signs and verifies tokens (HS256), at least 32 bytes. Required in production, where it must look random. In development `weelo up` makes one in the data dir."""
    webhook_secret_key: str | None = Field(default=None, repr=False)
    """The key from which the secrets of webhooks are derived, at least 32 bytes. Without it a key is derived from `JWT_SECRET`: a new `JWT_SECRET` then changes all secrets of webhooks. A new key changes them in any case."""
    jwt_audience: str | None = None
    """Tokens must contain it in `aud`. Without it `aud` is not checked."""
    auth_providers: Annotated[tuple[Literal["jwt", "firebase"], ...], NoDecode] = ("jwt",)
    """Whose tokens are accepted, separated by commas. `jwt`: those signed with JWT_SECRET. `firebase`: ID tokens of FIREBASE_PROJECT_ID."""
    firebase_project_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]{2,62}$")] | None = None
    """The Firebase project that signs users in. Required for `firebase` in AUTH_PROVIDERS."""
    firebase_keys_url: str | None = None
    """The address of Firebase's public keys: a JSON object of key ids, each with its X.509 certificate in PEM; in production `https`. Without it: Google's."""

    cors_origins: Annotated[tuple[str, ...] | None, NoDecode] = None
    """The origins whose web pages may use the API and its socket, such as `https://ops.example.com,http://localhost:5173`. In development `*` stands for all origins. Without it: only pages from the API's own address."""

    broadcast_timeout_seconds: policy_limits.BroadcastTimeoutSeconds = 120
    """How long a booking or an order stays open."""
    radius_steps_km: Annotated[policy_limits.RadiusStepsKm, NoDecode] = (10.0, 25.0, 50.0, 75.0)
    """The radius rings, growing. After them comes the last step: every matching transporter online."""
    radius_step_seconds: policy_limits.RadiusStepSeconds = 15.0
    """The time between two rings. Rings that would begin after the deadline do not happen."""
    driver_accept_seconds: policy_limits.DriverAcceptSeconds = 45.0
    """How long a driver may take to answer. Afterwards the slot is open again."""
    hold_seconds: policy_limits.HoldSeconds = 90.0
    """How long a transporter may hold slots. Afterwards they are open again."""
    reoffer_seconds: policy_limits.ReofferSeconds | None = None
    """The shortest time of a new search for a truck, after one was given back or did not set out. Without it: `BROADCAST_TIMEOUT_SECONDS`."""
    reoffer_rounds: policy_limits.ReofferRounds = 3
    """How many new searches a broadcast gets at most. Afterwards the slot of a truck that is given back expires."""
    start_reminder_seconds: policy_limits.ReminderSeconds = 900.0
    """This long after the driver has accepted, driver and transporter of a truck that has not set out are reminded. 0: never. Also never if the truck is given back before that (`START_LIMIT_SECONDS`)."""
    start_limit_seconds: policy_limits.ReminderSeconds = 3_600.0
    """This long after the driver has accepted, a truck that has not set out is given back. 0: never."""
    pickup_limit_seconds: policy_limits.ReminderSeconds = 21_600.0
    """If a truck is on its way to the pickup for this long, its transporter and the customer are told. 0: never."""
    pickup_wait_seconds: policy_limits.ReminderSeconds = 1_800.0
    """How long a driver waits at the pickup. Afterwards the driver may report that the customer did not come, and transporter and customer are told that the truck is waiting. 0: the driver need not wait, and no one is told."""
    presence_ttl_seconds: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    """A transporter without a heartbeat for this long counts as offline."""
    last_step_max_km: policy_limits.LastStepMaxKm = 0.0
    """How far the last step reaches. 0: no limit. Otherwise at least the last of `RADIUS_STEPS_KM`."""
    min_offers_per_step: policy_limits.MinOffersPerStep = 1
    """After a ring with fewer new offers than this the next ring follows at once."""
    max_offers_per_step: policy_limits.MaxOffersPerStep = 250
    """How many transporters one step offers to, nearest first. The others are considered in the next step; the last step goes on in portions of this size."""
    max_open_offers: policy_limits.MaxOpenOffers = 20
    """How many open offers a transporter may have. Only offers that are at least as near as a new one count against it. Offers in a town that the transporter has left do not count, and offers of the last step count only in the last step."""
    soft_open_offers: policy_limits.SoftOpenOffers = 10_000
    """Transporters with fewer open offers than this come first. The others get an offer only if a step has fewer candidates than `MIN_OFFERS_PER_STEP` otherwise. At least as large as `MAX_OPEN_OFFERS`: no soft cap."""
    contracted_first_seconds: policy_limits.ContractedFirstSeconds = 0.0
    """For this long a new request is offered only to the transporters who have a contract with its customer, if one of them is online with a free truck. The rings follow afterwards, or at once when all of them have declined. 0: the rings begin at once. Must be less than `BROADCAST_TIMEOUT_SECONDS`."""
    served_areas_only: bool = False
    """`true`: a booking or an order with a pickup outside every area of a policy is refused (422 `NOT_SERVED`)."""
    sweep_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """The longest pause between two sweeps. If a timer comes due earlier, the sweep runs earlier."""
    shed_after_seconds: Annotated[float, Field(gt=0, le=600)] = 1.0
    """If 50 commands wait in a queue and the oldest waits for longer than this, new requests are refused with 503. Commands about existing broadcasts, such as accept and cancel, are refused only after five times as long."""
    commands_per_second: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """Rate limit per caller: this many in the long run, ten times as many in a burst, then 429. Each API process counts by itself."""
    event_retention_days: Annotated[int, Field(ge=1, le=3_650)] = 7
    """How long log lines, settled commands with their idempotency keys, and records of transporters passed over are kept."""
    history_retention_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """How long finished broadcasts with their offers, transitions and assignments are kept. 0: for ever."""

    metrics_host: str = "127.0.0.1"
    """The address on which workers and beat serve their metrics."""
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """The port of the metrics of workers and beat. `weelo up`: the first of two in a row (worker, beat), with `--worker-per-queue` of eight (queues in their order, then beat); without a value, any free ports."""
    metrics_dir: str | None = None
    """The directory in which processes of one machine keep metrics for one another. Without it: a temporary one. `weelo up` sets it."""

    flower_url: str | None = None
    """A link on the front page of the API. `weelo up` sets it."""

    google_application_credentials: str | None = None
    """The file of the service account for FCM. For other kinds of account set `GOOGLE_CLOUD_PROJECT` as well. Without it each push is one line in the log."""
    fcm_endpoint: str | None = None
    """The address of a server that stands in for FCM. Without it: FCM."""

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Remove white space around every value (mounted secrets and CRLF files end with some), and drop empty values.

        A value that is not UTF-8 is refused, because libraries cannot encode it.
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
            raise ValueError(f"{policy_limits.GROWING}, not {value!r}") from None

    @field_validator("auth_providers", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for origin in origins or ():
            if origin != "*":
                http_url.check_origin(origin)
        return origins

    @field_validator("database_url", "database_read_url", "database_api_url", "database_workers_url")
    @classmethod
    def _is_postgres(cls, url: str | None) -> str | None:
        if url is not None:
            database_url.read(url)
        return url

    @field_validator("celery_broker_url")
    @classmethod
    def _is_a_broker(cls, url: str | None) -> str | None:
        if url is not None and rabbitmq_url.is_rabbitmq(url):
            http_url.check_host_and_port(url)
            rabbitmq_url.check(url)
            return url
        return cls._is_redis(url)

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None:
            http_url.check_host_and_port(url)
            redis_url.read(url)
        return url

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: Any) -> Any:
        if not isinstance(level, str):
            return level
        level = level.upper()
        return "WARNING" if level == "WARN" else level

    @field_validator("log_format", mode="before")
    @classmethod
    def _in_small_letters(cls, name: Any) -> Any:
        return name.lower() if isinstance(name, str) else name

    @field_validator("fcm_endpoint", "firebase_keys_url", "flower_url", "otel_exporter_otlp_endpoint")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None:
            http_url.check(url)
        return url

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _can_be_exported(cls, url: str | None) -> str | None:
        if url is not None and any(
            find_spec(name) is None for name in ("opentelemetry", "opentelemetry.exporter")
        ):
            raise ValueError("needs further packages; run: pip install 'weelo[server,otel]'")
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
                # Missing directories are created later, so the nearest existing one is checked.
                there = there.parent
            if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
                raise ValueError(f"must be a directory that this process may write to; {there} is not")
        return path

    @field_validator("jwt_secret", "webhook_secret_key")
    @classmethod
    def _secret_is_long_enough(cls, secret: str | None) -> str | None:
        if secret is not None and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes")
        return secret

    @model_validator(mode="after")
    def _last_step_reaches_beyond_the_rings(self) -> Self:
        if policy_limits.last_step_is_too_short(self.last_step_max_km, self.radius_steps_km):
            raise ValueError(
                "LAST_STEP_MAX_KM: must be 0 (no limit) or at least the last of RADIUS_STEPS_KM, "
                f"{self.radius_steps_km[-1]:g}"
            )
        return self

    @model_validator(mode="after")
    def _rings_follow_before_the_deadline(self) -> Self:
        deadline = self.broadcast_timeout_seconds
        if policy_limits.contracted_lasts_too_long(self.contracted_first_seconds, deadline):
            raise ValueError(
                f"CONTRACTED_FIRST_SECONDS: must be less than BROADCAST_TIMEOUT_SECONDS, {deadline:g}, "
                "so that a ring follows before the deadline"
            )
        return self

    @model_validator(mode="after")
    def _steps_can_make_enough_offers(self) -> Self:
        if policy_limits.every_ring_is_too_small(self.min_offers_per_step, self.max_offers_per_step):
            raise ValueError(
                f"MIN_OFFERS_PER_STEP: must be at most MAX_OFFERS_PER_STEP, {self.max_offers_per_step}"
            )
        return self

    @model_validator(mode="after")
    def _production_invents_nothing(self) -> Self:
        by_secret = self.weelo_env == "production" and "jwt" in self.auth_providers
        if by_secret and self.jwt_secret is None:
            raise ValueError("JWT_SECRET: must be set in production (at least 32 bytes)")
        if by_secret and len(set(self.jwt_secret or "")) < MIN_SECRET_VARIETY:
            raise ValueError("JWT_SECRET: must be random in production, as `openssl rand -hex 32` makes it")
        key = self.webhook_secret_key
        if self.weelo_env == "production" and key is not None and len(set(key)) < MIN_SECRET_VARIETY:
            raise ValueError(
                "WEBHOOK_SECRET_KEY: must be random in production, as `openssl rand -hex 32` makes it"
            )
        if self.weelo_env == "production" and "*" in (self.cors_origins or ()):
            raise ValueError("CORS_ORIGINS: must name each origin in production; * is for development")
        return self

    @model_validator(mode="after")
    def _firebase_is_complete(self) -> Self:
        if "firebase" in self.auth_providers and self.firebase_project_id is None:
            raise ValueError("FIREBASE_PROJECT_ID: must be set for firebase in AUTH_PROVIDERS")
        if self.weelo_env == "production" and (self.firebase_keys_url or "").startswith("http:"):
            raise ValueError("FIREBASE_KEYS_URL: must begin with https:// in production")
        if self.weelo_env == "production" and self.webhook_secret_key is None and self.jwt_secret is None:
            raise ValueError("WEBHOOK_SECRET_KEY: must be set in production if there is no JWT_SECRET")
        return self

    @model_validator(mode="after")
    def _metrics_have_an_address(self) -> Self:
        # A METRICS_HOST without METRICS_PORT is checked as well, because `weelo up` chooses ports for its child processes.
        if self.metrics_port is not None or "metrics_host" in self.model_fields_set:
            try:
                found = socket.getaddrinfo(self.metrics_host, 0, type=socket.SOCK_STREAM)
                family, kind, protocol, _, address = found[0]
                with socket.socket(family, kind, protocol) as probe:
                    # Only the host is checked. The port here is 0, which means any free port, because workers are to
                    # start even if METRICS_PORT is in use.
                    probe.bind(address)
            except (OSError, UnicodeError):
                raise ValueError(
                    "METRICS_HOST: must be an address of this machine, like 127.0.0.1 or 0.0.0.0"
                ) from None
        return self

    @model_validator(mode="after")
    def _authorities_can_be_loaded(self) -> Self:
        trusted_authorities.check(trusted_authorities.FOR_WEBHOOKS, os.environ)
        if self.google_application_credentials is not None:
            trusted_authorities.check(trusted_authorities.FOR_PUSHES, os.environ)
        if self.otel_exporter_otlp_endpoint is not None:
            trusted_authorities.check(trusted_authorities.FOR_TRACES, os.environ)
        return self

    @property
    def seconds_of_a_round(self) -> int:
        """The shortest time of a new search for a truck: REOFFER_SECONDS, or else BROADCAST_TIMEOUT_SECONDS."""
        return self.reoffer_seconds or self.broadcast_timeout_seconds

    @property
    def webhook_key(self) -> bytes:
        """The key from which secrets of webhooks are derived.

        Raises ConfigurationError if neither WEBHOOK_SECRET_KEY nor JWT_SECRET is set.
        """
        if self.webhook_secret_key is not None:
            return self.webhook_secret_key.encode()
        if self.jwt_secret is None:
            raise ConfigurationError("WEBHOOK_SECRET_KEY: must be set if there is no JWT_SECRET")
        # JWT_SECRET also signs tokens. The label separates the two uses, so that no derived key is also the signature
        # of a token.
        return hmac.new(self.jwt_secret.encode(), b"weelo webhooks", hashlib.sha256).digest()

    @property
    def format_of_log_lines(self) -> Literal["console", "json"]:
        """The format of log lines: LOG_FORMAT, or else the default of this environment."""
        return self.log_format or ("json" if self.weelo_env == "production" else "console")

    @property
    def console_key(self) -> bytes | None:
        """The key that signs cookies of the console. If no secret is set it is None, and no session can begin."""
        secret = self.jwt_secret or self.webhook_secret_key
        return hmac.new(secret.encode(), b"weelo console", hashlib.sha256).digest() if secret else None

    @property
    def is_sandbox(self) -> bool:
        """Whether the clock can be moved, and the routes of the sandbox exist."""
        return self.weelo_env == "sandbox"

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

"""CONTRACT section 1: every variable is a setting with its default.

The error for a bad value names the variable in one line.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weelo_workers.settings import ConfigurationError, Settings, settings

DEFAULTS: dict[str, object] = {
    "WEELO_ENV": "development",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": None,
    "OTEL_EXPORTER_OTLP_ENDPOINT": None,
    "DATABASE_READ_URL": None,
    "DATABASE_API_URL": None,
    "DATABASE_WORKERS_URL": None,
    "CELERY_BROKER_URL": None,
    "JWT_SECRET": None,
    "WEBHOOK_SECRET_KEY": None,
    "JWT_AUDIENCE": None,
    "AUTH_PROVIDERS": ("jwt",),
    "FIREBASE_PROJECT_ID": None,
    "FIREBASE_KEYS_URL": None,
    "CORS_ORIGINS": None,
    "GOOGLE_APPLICATION_CREDENTIALS": None,
    "FCM_ENDPOINT": None,
    "BROADCAST_TIMEOUT_SECONDS": 120,
    "RADIUS_STEPS_KM": (10, 25, 50, 75),
    "RADIUS_STEP_SECONDS": 15,
    "DRIVER_ACCEPT_SECONDS": 45,
    "HOLD_SECONDS": 90,
    "REOFFER_SECONDS": None,
    "REOFFER_ROUNDS": 3,
    "START_REMINDER_SECONDS": 900,
    "START_LIMIT_SECONDS": 3600,
    "PICKUP_LIMIT_SECONDS": 21600,
    "PICKUP_WAIT_SECONDS": 1800,
    "PRESENCE_TTL_SECONDS": 60,
    "MIN_OFFERS_PER_STEP": 1,
    "LAST_STEP_MAX_KM": 0.0,
    "MAX_OFFERS_PER_STEP": 250,
    "MAX_OPEN_OFFERS": 20,
    "SOFT_OPEN_OFFERS": 10_000,
    "CONTRACTED_FIRST_SECONDS": 0.0,
    "SERVED_AREAS_ONLY": False,
    "SWEEP_SECONDS": 1,
    "SHED_AFTER_SECONDS": 1,
    "COMMANDS_PER_SECOND": 50,
    "EVENT_RETENTION_DAYS": 7,
    "HISTORY_RETENTION_DAYS": 0,
    "METRICS_HOST": "127.0.0.1",
    "METRICS_PORT": None,
    "METRICS_DIR": None,
    "FLOWER_URL": None,
}
# These settings have no default in the contract, because `weelo up` and Compose always set them.
WITHOUT_A_PROMISED_DEFAULT = {"DATABASE_URL", "REDIS_URL"}

BAD_VALUES = [
    ("WEELO_ENV", "staging"),
    ("LOG_LEVEL", "loud"),
    ("LOG_FORMAT", "xml"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
    ("DATABASE_URL", "mysql://localhost/weelo"),
    ("DATABASE_URL", "localhost"),
    ("DATABASE_URL", "postgresql://localhost:port/weelo"),
    ("DATABASE_READ_URL", "sqlite:///weelo.db"),
    ("DATABASE_API_URL", "mysql://localhost/weelo"),
    ("DATABASE_WORKERS_URL", "postgresql://localhost:port/weelo"),
    ("DATABASE_URL", "postgresql://localhost"),
    ("DATABASE_URL", "postgresql://localhost/weelo?colour=red"),
    ("DATABASE_URL", "postgresql://localhost/weelo?sslmode=sometimes"),
    ("DATABASE_URL", "postgresql://localhost/weelo?connect_timeout=soon"),
    ("DATABASE_URL", "postgresql://localhost/weelo?sslrootcert=ca.pem"),
    ("DATABASE_URL", "postgresql://localhost/weelo?sslkey=./key.pem"),
    ("DATABASE_URL", "postgresql://weelo:pass@word@localhost/weelo"),
    ("DATABASE_URL", "postgresql://weelo:pass/word@localhost/weelo"),
    ("DATABASE_URL", "postgresql://weelo:100%zz@localhost/weelo"),
    ("REDIS_URL", "http://localhost:6379"),
    ("REDIS_URL", "redis://localhost/first"),
    ("REDIS_URL", "redis://localhost/0/1"),
    ("REDIS_URL", "redis://localhost?db=-1"),
    ("REDIS_URL", "redis://localhost?db=first"),
    ("REDIS_URL", "redis://:pass#word@localhost/0"),
    ("REDIS_URL", "redis://:pass@word@localhost/0"),
    ("REDIS_URL", "redis://[::1/0"),
    ("REDIS_URL", "redis+cluster://localhost"),
    ("REDIS_URL", "unix://"),
    ("REDIS_URL", "unix://relative/redis.sock"),
    ("REDIS_URL", "rediss://localhost?ssl_ca_certs=ca.pem"),
    ("REDIS_URL", "redis://localhost?ssl_cert_reqs=none"),
    ("REDIS_URL", "rediss://localhost?ssl_cert_reqs=sometimes"),
    ("REDIS_URL", "rediss://localhost?ssl_ca_certs=/no/such/file.pem"),
    ("REDIS_URL", f"rediss://localhost?ssl_ca_certs={__file__}"),
    ("REDIS_URL", "rediss://localhost?ssl_certfile=/no/such/file.pem"),
    ("REDIS_URL", "rediss://localhost?ssl_keyfile=/no/such/file.pem"),
    ("REDIS_URL", "rediss://localhost?ssl_check_hostname="),
    ("REDIS_URL", "redis://localhost:port/0"),
    ("REDIS_URL", "amqp://localhost"),
    ("CELERY_BROKER_URL", "amqp://"),
    ("CELERY_BROKER_URL", "amqp://localhost:port"),
    ("CELERY_BROKER_URL", "amqp://one;amqp://two"),
    ("CELERY_BROKER_URL", "amqp://weelo:pass#word@localhost"),
    ("CELERY_BROKER_URL", "amqp://weelo:pass@word@localhost"),
    ("CELERY_BROKER_URL", "amqp://localhost?heartbeat=1"),
    ("CELERY_BROKER_URL", "amqp://localhost?ssl_ca_certs=/ca.pem"),
    ("CELERY_BROKER_URL", "amqps://localhost?ssl_ca_certs=ca.pem"),
    ("CELERY_BROKER_URL", f"amqps://localhost?ssl_ca_certs={__file__}"),
    ("CELERY_BROKER_URL", "pyamqp://localhost"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "/"),
    ("GOOGLE_APPLICATION_CREDENTIALS", __file__),
    ("GOOGLE_APPLICATION_CREDENTIALS", "/proc/self/mem"),  # not even root can read this file
    ("FCM_ENDPOINT", "nonsense"),
    ("FLOWER_URL", "javascript:alert(1)"),
    ("FCM_ENDPOINT", "https://"),
    ("FCM_ENDPOINT", "https://localhost/?key=1"),
    ("METRICS_DIR", __file__),
    ("METRICS_DIR", f"{__file__}/figures"),
    ("JWT_SECRET", "too short"),
    ("AUTH_PROVIDERS", "google"),
    ("AUTH_PROVIDERS", "jwt,"),
    ("FIREBASE_PROJECT_ID", "My Project"),
    ("FIREBASE_KEYS_URL", "keys.pem"),
    ("CORS_ORIGINS", "ops.example.com"),
    ("CORS_ORIGINS", "https://ops.example.com/"),
    ("CORS_ORIGINS", "https://ops.example.com,"),
    ("CORS_ORIGINS", "https://ops.example.com:443"),
    ("CORS_ORIGINS", "http://ops.example.com:80"),
    ("CORS_ORIGINS", "https://Ops.example.com"),
    ("CORS_ORIGINS", "https://me@ops.example.com"),
    ("CORS_ORIGINS", "https://*.example.com"),
    ("CORS_ORIGINS", "null"),
    ("WEBHOOK_SECRET_KEY", "too short"),
    ("BROADCAST_TIMEOUT_SECONDS", "two minutes"),
    ("BROADCAST_TIMEOUT_SECONDS", "0"),
    ("BROADCAST_TIMEOUT_SECONDS", "-1"),
    ("BROADCAST_TIMEOUT_SECONDS", "1.5"),
    ("RADIUS_STEPS_KM", "near,far"),
    ("RADIUS_STEPS_KM", "25,10"),
    ("RADIUS_STEPS_KM", "10,10"),
    ("RADIUS_STEPS_KM", "0,10"),
    ("RADIUS_STEPS_KM", "10,,25"),
    ("RADIUS_STEPS_KM", "10,nan"),
    ("RADIUS_STEPS_KM", ","),
    ("RADIUS_STEP_SECONDS", "0"),
    ("RADIUS_STEP_SECONDS", "nan"),
    ("DRIVER_ACCEPT_SECONDS", "soon"),
    ("HOLD_SECONDS", "inf"),
    ("REOFFER_SECONDS", "0"),
    ("REOFFER_SECONDS", "1.5"),
    ("REOFFER_SECONDS", "86401"),
    ("REOFFER_ROUNDS", "-1"),
    ("REOFFER_ROUNDS", "1.5"),
    ("REOFFER_ROUNDS", "1001"),
    ("START_REMINDER_SECONDS", "-1"),
    ("START_REMINDER_SECONDS", "nan"),
    ("START_LIMIT_SECONDS", "an hour"),
    ("START_LIMIT_SECONDS", "604801"),
    ("PICKUP_LIMIT_SECONDS", "-1"),
    ("PICKUP_LIMIT_SECONDS", "inf"),
    ("PICKUP_WAIT_SECONDS", "-1"),
    ("PICKUP_WAIT_SECONDS", "604801"),
    ("PRESENCE_TTL_SECONDS", "-60"),
    ("MIN_OFFERS_PER_STEP", "-1"),
    ("MIN_OFFERS_PER_STEP", "251"),  # is more than MAX_OFFERS_PER_STEP
    ("MAX_OPEN_OFFERS", "0"),
    ("SOFT_OPEN_OFFERS", "0"),
    ("CONTRACTED_FIRST_SECONDS", "-1"),
    ("CONTRACTED_FIRST_SECONDS", "120"),  # ends no earlier than the deadline (BROADCAST_TIMEOUT_SECONDS)
    ("SERVED_AREAS_ONLY", "sometimes"),
    ("LAST_STEP_MAX_KM", "-1"),
    ("LAST_STEP_MAX_KM", "74"),  # this limit is less than the radius of the last ring, 75 km
    ("MAX_OFFERS_PER_STEP", "0"),
    ("MAX_OFFERS_PER_STEP", "2.5"),
    ("SWEEP_SECONDS", "0"),
    ("SHED_AFTER_SECONDS", "0"),
    ("COMMANDS_PER_SECOND", "many"),
    ("EVENT_RETENTION_DAYS", "a week"),
    ("HISTORY_RETENTION_DAYS", "-1"),
    ("METRICS_PORT", "0"),
    ("METRICS_PORT", "metrics"),
]


@pytest.fixture(autouse=True)
def _an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_every_variable_of_the_contract_is_a_setting_and_there_is_no_other() -> None:
    assert {name.upper() for name in Settings.model_fields} == DEFAULTS.keys() | WITHOUT_A_PROMISED_DEFAULT


@pytest.mark.parametrize(("variable", "default"), DEFAULTS.items())
def test_a_setting_has_the_documented_default(variable: str, default: object) -> None:
    assert getattr(settings(), variable.lower()) == default


def test_a_new_round_is_as_long_as_a_new_request_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROADCAST_TIMEOUT_SECONDS", "40")
    assert settings().seconds_of_a_round == 40
    monkeypatch.setenv("REOFFER_SECONDS", "300")
    settings.cache_clear()
    assert settings().seconds_of_a_round == 300


def test_the_broker_is_redis_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://here/0")
    assert settings().broker_url == "redis://here/0"
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://there/0")
    settings.cache_clear()
    assert settings().broker_url == "redis://there/0"


@pytest.mark.parametrize(("variable", "value"), BAD_VALUES)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refused:
        settings()
    line = str(refused.value)
    assert line.startswith(f"{variable}: ")
    assert "\n" not in line


@pytest.mark.parametrize(
    "parameter", ["socket_timeout=3", "protocol=3", "max_connections=5", "virtual_host=1"]
)
@pytest.mark.parametrize("variable", ["REDIS_URL", "CELERY_BROKER_URL"])
@pytest.mark.parametrize("address", ["redis://localhost/0", "rediss://localhost/0", "unix:///run/redis.sock"])
def test_a_parameter_that_only_one_library_understands_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str, parameter: str
) -> None:
    monkeypatch.setenv(variable, f"{address}?{parameter}")
    with pytest.raises(ConfigurationError) as refused:
        settings()
    assert str(refused.value).startswith(f"{variable}: {parameter.partition('=')[0]} ")


@pytest.mark.parametrize("space", ["\n", "\r\n", " ", "\t"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JWT_SECRET", "a secret of at least thirty-two bytes"),
        ("WEELO_ENV", "development"),
        ("DATABASE_URL", "postgresql://weelo:secret@localhost/weelo"),
        ("REDIS_URL", "redis://localhost/0"),
        ("CELERY_BROKER_URL", "redis://localhost/0"),
        ("FCM_ENDPOINT", "http://localhost:9"),
        ("METRICS_HOST", "127.0.0.1"),
    ],
)
def test_white_space_around_a_value_is_removed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, space: str
) -> None:
    """Mounted secrets often end with a newline, and lines of CRLF files with a carriage return."""
    monkeypatch.setenv(variable, f"{space}{value}{space}")
    assert getattr(settings(), variable.lower()) == value


def test_words_for_log_lines_may_have_capitals_or_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    assert (settings().log_level, settings().log_format) == ("DEBUG", "json")


@pytest.mark.parametrize("name", ["warn", "WARN"])
def test_the_short_name_of_the_level_WARNING_is_accepted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Python, Celery and gunicorn accept it as well."""
    monkeypatch.setenv("LOG_LEVEL", name)
    assert settings().log_level == "WARNING"


def test_a_variable_of_white_space_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "\n")
    assert settings().jwt_secret is None


@pytest.mark.parametrize("port", ["", "9540"])
@pytest.mark.parametrize("host", ["203.0.113.1", "no such host", "http://127.0.0.1"])
def test_METRICS_HOST_must_be_an_address_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, host: str, port: str
) -> None:
    monkeypatch.setenv("METRICS_HOST", host)
    monkeypatch.setenv("METRICS_PORT", port)
    with pytest.raises(ConfigurationError, match=r"^METRICS_HOST: "):
        settings()


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "JWT_SECRET"])
def test_a_refused_value_is_not_repeated_since_it_may_be_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "hunter2")
    with pytest.raises(ConfigurationError) as refused:
        settings()
    assert "hunter2" not in str(refused.value)


def test_no_secret_is_shown_by_what_a_log_would_print(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2 hunter2 hunter2 hunter2 hunter2"
    monkeypatch.setenv("JWT_SECRET", secret)
    monkeypatch.setenv("DATABASE_URL", "postgresql://weelo:hunter2@localhost/weelo")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@localhost/0")
    assert "hunter2" not in repr(settings())


def test_production_without_a_secret_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEELO_ENV", "production")
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET: "):
        settings()


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose and shells pass an unset variable on as an empty one."""
    monkeypatch.setenv("HOLD_SECONDS", "")
    assert settings().hold_seconds == DEFAULTS["HOLD_SECONDS"]

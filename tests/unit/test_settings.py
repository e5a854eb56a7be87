"""The settings: every documented variable, what is refused, and what is never shown."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from storage.access_settings import ACCESS_FIELDS
from storage.dsn import redis_dsn
from storage.settings import InvalidSettings, Settings, default_data_directory, load_settings
from storage.tokens import weakness_of

DOCUMENTED = """
API_HOST API_PORT DEBUG ENVIRONMENT LOG_LEVEL PANCAKE_ACCESS_TOKEN ADMIN_ACCESS_TOKEN JWT_SECRET
JWT_PUBLIC_KEY PANCAKE_ACCESS_TOKEN_PREVIOUS ADMIN_ACCESS_TOKEN_PREVIOUS JWT_SECRET_PREVIOUS
JWT_PUBLIC_KEY_PREVIOUS WEBHOOK_SECRET WEBHOOK_SECRET_PREVIOUS METRICS_AUTH GRAFANA_URL
REDIS_URL REDIS_HOST REDIS_PORT REDIS_DB REDIS_PASSWORD REDIS_CLUSTER
REDIS_MAX_CONNECTIONS REDIS_SOCKET_TIMEOUT DATABASE_URL POSTGRES_HOST POSTGRES_PORT POSTGRES_DB
POSTGRES_USER POSTGRES_PASSWORD POSTGRES_SSLMODE AI_SERVICE_URL AI_SERVICE_PATH AI_SERVICE_TIMEOUT
AI_MAX_ATTEMPTS AI_MAX_CONCURRENCY SIMULATED_AI_SECONDS PANCAKE_BASE_URL PANCAKE_ACTIONS_PATH
PANCAKE_API_TOKEN DELIVERY_MAX_ATTEMPTS DELIVERY_MAX_CONCURRENCY CONVERSATION_STATE_TTL
PROCESSING_LOCK_TTL RETENTION_HOURS RESPONSE_WAIT_SECONDS MAX_BODY_BYTES RATE_LIMIT MAX_IN_FLIGHT
HOST_MAX_BUSY HOST_MAX_IDLE CONVERSATION_IDLE_SECONDS CLUSTER_NAME RAY_ADDRESS DATA_DIR
CONVERSATION_HOSTS STORAGE_WRITERS INGRESS_ON_NODES AUTOSCALE_MIN_NODES AUTOSCALE_MAX_NODES
AUTOSCALE_HOST_BUSY ACTOR_CALLS
""".split()  # noqa: SIM905 - reads better than a list of fifty
GOOD = {
    "pancake_access_token": "9f2c1d7b5e8a4063b1c2",
    "admin_access_token": "77aa0c4d1e9b28f35d60",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in DOCUMENTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_fields_are_the_documented_variables() -> None:
    assert {name.upper() for name in Settings.model_fields} == set(DOCUMENTED)


def test_the_documented_defaults_hold() -> None:
    settings = load_settings()

    assert settings.api_port == 8000
    assert settings.redis_max_connections == 100
    assert (settings.ai_service_path, settings.pancake_actions_path) == (
        "/process",
        "/api/v1/actions",
    )
    assert (settings.ai_service_timeout, settings.ai_max_attempts) == (30, 3)
    assert (settings.simulated_ai_seconds, settings.delivery_max_attempts) == (2, 8)
    assert (settings.conversation_state_ttl, settings.processing_lock_ttl) == (3600, 30)
    assert (settings.retention_hours, settings.response_wait_seconds) == (0, 35)
    assert (settings.max_body_bytes, settings.rate_limit) == (1024**2, "1000/second")
    assert (settings.max_in_flight, settings.host_max_busy) == (10_000, 10_000)
    assert (settings.host_max_idle, settings.conversation_idle_seconds) == (50_000, 60)
    assert (settings.ai_max_concurrency, settings.delivery_max_concurrency) == (512, 512)
    assert settings.lease_deadline_seconds == 5
    assert settings.postgres_dsn is None
    assert settings.redis_dsn is None


def test_the_environment_wins_over_the_file_and_empty_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("API_PORT=1111\nLOG_LEVEL=debug\nRATE_LIMIT=off\nUNKNOWN=1\n")
    monkeypatch.setenv("API_PORT", "2222")
    monkeypatch.setenv("RATE_LIMIT", "")
    settings = load_settings()

    assert (settings.api_port, settings.log_level, settings.rate_limit) == (2222, "DEBUG", "off")
    assert load_settings(api_port=3333).api_port == 3333


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql+asyncpg://user:pw@localhost/db", "postgresql://user:pw@localhost/db"),
        ("postgres://h/db?ssl=require", "postgresql://h/db?sslmode=require"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
    ],
)
def test_a_database_url_is_brought_into_one_form(url: str, dsn: str) -> None:
    assert load_settings(database_url=url).postgres_dsn == dsn


def test_a_database_address_is_made_of_its_parts() -> None:
    settings = load_settings(
        postgres_host="db",
        postgres_db="a b",
        postgres_user="me",
        postgres_password="p/w@:",
        postgres_sslmode="require",
    )

    assert settings.postgres_dsn == "postgresql://me:p%2Fw%40%3A@db:5432/a%20b?sslmode=require"
    assert load_settings(postgres_host="::1").postgres_dsn == (
        "postgresql://postgres@[::1]:5432/chat_orchestrator"
    )
    assert load_settings(postgres_host="/run/pg").postgres_dsn == (
        "postgresql://postgres@/chat_orchestrator?host=/run/pg&port=5432"
    )


def test_sslmode_is_not_lost_beside_a_url_and_does_not_overrule_it() -> None:
    def dsn(url: str) -> str | None:
        return load_settings(database_url=url, postgres_sslmode="verify-full").postgres_dsn

    assert dsn("postgresql://h/db") == "postgresql://h/db?sslmode=verify-full"
    assert dsn("postgresql://h/db?sslmode=disable") == "postgresql://h/db?sslmode=disable"


@pytest.mark.parametrize(
    ("given", "dsn"),
    [
        ({"redis_url": "redis://h:1/2"}, "redis://:p%40w@h:1/2"),
        ({"redis_url": "redis://user@h:1/2"}, "redis://user:p%40w@h:1/2"),
        ({"redis_url": "redis://:own@h:1/2"}, "redis://:own@h:1/2"),
        ({"redis_url": "rediss://h"}, "rediss://:p%40w@h"),
        ({"redis_url": "unix:///a/b.sock?db=1"}, "unix://:p%40w@/a/b.sock?db=1"),
        ({"redis_host": "h", "redis_db": 3}, "redis://:p%40w@h:6379/3"),
        ({"redis_host": "::1", "redis_port": 1}, "redis://:p%40w@[::1]:1/0"),
    ],
)
def test_the_redis_password_is_used_unless_the_url_has_one(
    given: dict[str, object], dsn: str
) -> None:
    assert load_settings(redis_password="p@w", **given).redis_dsn == dsn


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_PORT", "x"),
        ("API_PORT", "70000"),
        ("DEBUG", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("REDIS_URL", "http://h"),
        ("DATABASE_URL", "mysql://h/db"),
        ("AI_SERVICE_URL", "ai-service:8001"),
        ("AI_SERVICE_TIMEOUT", "nan"),
        ("AI_SERVICE_PATH", "process"),
        ("PROCESSING_LOCK_TTL", "0"),
        ("RATE_LIMIT", "fast"),
        ("RATE_LIMIT", "0/second"),
        ("CLUSTER_NAME", "a b"),
        ("POSTGRES_SSLMODE", "maybe"),
        ("CONVERSATION_HOSTS", "0"),
    ],
)
def test_what_is_wrong_is_said_with_the_variable_and_without_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [variable]


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(api_port="x", debug="perhaps")

    assert {line.split(":")[0] for line in str(caught.value).splitlines()} == {"API_PORT", "DEBUG"}


def test_a_cluster_has_one_database() -> None:
    with pytest.raises(InvalidSettings, match=r"^REDIS_DB"):
        load_settings(redis_cluster=True, redis_db=1)


@pytest.mark.parametrize(
    "token",
    [
        None,
        "short",
        "your-secure-pancake-token-here",
        "your-pancake-token-here",
        "changeme-changeme-changeme",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "test_token",
        "admin-access-token-123",
    ],
)
@pytest.mark.parametrize("name", list(GOOD))
def test_production_refuses_weak_tokens(name: str, token: str | None) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environment="Production", **(GOOD | {name: token}))

    assert str(caught.value).startswith(f"{name.upper()}: ")
    assert token is None or token not in str(caught.value)
    load_settings(environment="development", **(GOOD | {name: token}))


def test_production_takes_good_tokens_that_differ() -> None:
    assert load_settings(environment="production", **GOOD).is_production
    longer = {name: f"admin-{token}" for name, token in GOOD.items()}
    assert load_settings(environment="production", **longer).is_production
    with pytest.raises(InvalidSettings, match="differ"):
        load_settings(environment="production", **dict.fromkeys(GOOD, "9f2c1d7b5e8a4063b1c2"))
    with pytest.raises(InvalidSettings, match=r"^JWT_SECRET"):
        load_settings(environment="production", jwt_secret="3f8a1c", **GOOD)


def test_production_looks_at_previous_tokens_too() -> None:
    production = {"environment": "production", **GOOD}
    for name in GOOD:
        with pytest.raises(InvalidSettings, match=f"^{name.upper()}_PREVIOUS: "):
            load_settings(**production, **{f"{name}_previous": "short"})
    with pytest.raises(InvalidSettings, match=r"^JWT_SECRET_PREVIOUS: "):
        load_settings(**production, jwt_secret_previous="short")
    for name, other in (GOOD.keys(), reversed(GOOD.keys())):
        with pytest.raises(InvalidSettings, match="differ"):
            load_settings(**production, **{f"{name}_previous": GOOD[other]})
    good = load_settings(**production, admin_access_token_previous="5d1fe0a97c3b48216fba")
    assert good.is_production


def test_other_processes_are_not_given_what_callers_show() -> None:
    given = dict.fromkeys(ACCESS_FIELDS, SecretStr("hidden"))
    settings = load_settings(database_url="postgresql://h/d").model_copy(update=given)

    assert b"hidden" in pickle.dumps(settings)
    assert b"hidden" not in pickle.dumps(settings.without_access())
    assert settings.without_access().postgres_dsn == settings.postgres_dsn


def test_missing_tokens_are_made_and_given_ones_kept() -> None:
    settings, made = load_settings(admin_access_token="mine").with_generated_tokens()
    again, _ = load_settings().with_generated_tokens()

    assert list(made) == ["PANCAKE_ACCESS_TOKEN"]
    assert settings.pancake_access_token is not None
    assert settings.admin_access_token is not None
    assert settings.pancake_access_token.get_secret_value() == made["PANCAKE_ACCESS_TOKEN"]
    assert settings.admin_access_token.get_secret_value() == "mine"
    assert weakness_of(settings.pancake_access_token) is None
    assert again.pancake_access_token != settings.pancake_access_token


def test_settings_are_a_value_that_travels() -> None:
    settings = load_settings(database_url="postgresql://u:p@h/d", **GOOD)

    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own
    with pytest.raises(ValidationError):
        settings.api_port = 1  # type: ignore[misc]


def test_no_secret_shows() -> None:
    settings = load_settings(
        database_url="postgresql://u:hidden@h/d",
        redis_url="redis://:hidden@h",
        redis_password="hidden",
        postgres_password="hidden",
        jwt_secret="hidden",
        pancake_api_token="hidden",
        **dict.fromkeys(GOOD, "hidden"),
    )

    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings)


def test_a_key_on_one_line_is_unfolded() -> None:
    key = load_settings(jwt_public_key="-----BEGIN-----\\nabc\\n-----END-----").jwt_public_key

    assert key == "-----BEGIN-----\nabc\n-----END-----"


def test_the_data_folder_is_absolute_and_depends_on_who_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_settings().data_dir == Path("/var/lib/chat-orchestrator")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_data_directory() == Path(".data")
    assert load_settings().data_dir == Path.cwd() / ".data"
    assert load_settings(data_dir="elsewhere").data_dir == Path.cwd() / "elsewhere"


@pytest.mark.parametrize("url", ["postgresql://u:S3\u2100CRET@h/x", "postgresql://h[S3CRET@]/x"])
def test_what_is_wrong_with_an_address_never_shows_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(InvalidSettings, match="DATABASE_URL: is not a URL") as raised:
        load_settings()
    assert "CRET" not in str(raised.value)
    with pytest.raises(ValueError, match=r"^is not a URL$"):
        redis_dsn(url.replace("postgresql", "redis"))

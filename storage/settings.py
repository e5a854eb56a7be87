"""The configuration of every process: one immutable value, made once and passed on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict, SettingsError

from storage.access_settings import AccessSettings
from storage.dsn import postgres_dsn, redis_dsn
from storage.setting_files import SettingsFromFiles
from storage.setting_types import (
    ActorCalls,
    DatabaseUrl,
    Environment,
    FullPath,
    HttpBase,
    LogLevel,
    Port,
    RateLimit,
    RedisUrl,
    UrlPath,
)

__all__ = ["InvalidSettings", "Settings", "load_settings"]


def default_data_directory() -> Path:
    """Return where data is kept when ``DATA_DIR`` does not say.

    For root it is a place of its own: PostgreSQL runs as another user then, and must be able to
    reach its files, which the working directory of root may not allow.
    """
    return Path("/var/lib/chat-orchestrator") if os.geteuid() == 0 else Path(".data")


class InvalidSettings(ValueError):
    """The environment holds values the server cannot start with; one line a variable."""


class Settings(AccessSettings, SettingsFromFiles):
    """Every setting, under its variable's name in lower case.

    Weaker than the environment is a ``.env`` file in the working directory. An empty variable
    counts as unset. ``NAME_FILE`` names a file that holds the value. Use ``load_settings`` to make
    one.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    api_host: str = "127.0.0.1"
    api_port: Port = 8000
    debug: bool = False
    environment: Environment = "development"
    log_level: LogLevel = "INFO"

    metrics_auth: bool = False
    """Whether ``GET /metrics`` needs the scope ``admin``."""
    grafana_url: HttpBase | None = None
    """Where the operator console sends its reader for more; None: it does not."""

    redis_url: RedisUrl | None = None
    redis_host: str | None = None
    redis_port: Port = 6379
    redis_db: int = Field(0, ge=0, le=65535)
    redis_password: SecretStr | None = None
    redis_cluster: bool = False
    redis_max_connections: int = Field(100, ge=1, le=65535)
    redis_socket_timeout: float = Field(5.0, gt=0, le=300)
    """Seconds. Lease calls have their own deadline, ``lease_deadline_seconds``."""

    database_url: DatabaseUrl | None = None
    postgres_host: str | None = None
    postgres_port: Port = 5432
    postgres_db: str = "chat_orchestrator"
    postgres_user: str = "postgres"
    postgres_password: SecretStr | None = None
    postgres_sslmode: (
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None
    ) = None

    ai_service_url: HttpBase | None = None
    ai_service_path: UrlPath = "/process"
    ai_service_timeout: float = Field(30.0, gt=0, le=3600)
    ai_max_attempts: int = Field(3, ge=1, le=20)
    ai_max_concurrency: int = Field(512, ge=1, le=100_000)
    """Calls of one host to one AI address at a time; further ones wait."""
    simulated_ai_seconds: float = Field(2.0, ge=0, le=3600)

    pancake_base_url: HttpBase | None = None
    pancake_actions_path: UrlPath = "/api/v1/actions"
    pancake_api_token: SecretStr | None = None
    delivery_max_attempts: int = Field(8, ge=1, le=100)
    delivery_max_concurrency: int = Field(512, ge=1, le=100_000)
    """Deliveries of one host to one platform at a time; further ones wait."""

    conversation_state_ttl: int = Field(3600, ge=1, le=31_536_000)
    processing_lock_ttl: float = Field(30.0, ge=0.5, le=86_400)
    """The lease, in seconds."""
    retention_hours: float = Field(0.0, ge=0, le=876_000)
    """Idle conversations are dropped after it; 0 keeps them."""
    response_wait_seconds: float = Field(35.0, ge=0, le=3600)
    max_body_bytes: int = Field(1_048_576, ge=1024, le=1_073_741_824)
    rate_limit: RateLimit = "1000/second"
    max_in_flight: int = Field(10_000, ge=1, le=1_000_000)
    """Messages under way in one ingress process; further ones are refused."""
    host_max_busy: int = Field(10_000, ge=1, le=1_000_000)
    """Conversations with work in one host; messages for a host with more are refused."""
    host_max_idle: int = Field(50_000, ge=0, le=10_000_000)
    """Conversations without work that a host keeps in memory; the oldest of more are let go."""
    conversation_idle_seconds: float = Field(60.0, gt=0, le=31_536_000)
    """After so long without work a conversation leaves its host's memory."""

    cluster_name: str = Field("default", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    ray_address: str | None = None
    data_dir: FullPath = Field(default_factory=default_data_directory, validate_default=True)
    """Absolute. Where embedded servers keep their data, and ``up`` its run file."""
    conversation_hosts: int = Field(2, ge=1, le=1024)
    storage_writers: int = Field(1, ge=1, le=64)
    ingress_on_nodes: bool = False
    """Whether every machine that has hosts has an HTTP server too."""
    autoscale_min_nodes: int = Field(1, ge=1, le=10_000)
    autoscale_max_nodes: int = Field(0, ge=0, le=10_000)
    """Machines with hosts that Ray's autoscaler is asked for; 0: it is not asked."""
    autoscale_host_busy: int = Field(500, ge=1, le=1_000_000)
    """Conversations with work in one host from which on a further machine is asked for."""
    actor_calls: ActorCalls = "direct"
    """How actors call each other: over connections of their own, or by Ray alone."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = []
        if self.redis_cluster and self.redis_db:
            problems.append("REDIS_DB: a Redis Cluster has database 0 only")
        if self.is_production:
            problems += self.access_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def is_production(self) -> bool:
        """Whether weak or missing tokens are refused."""
        return self.environment in ("production", "prod")

    @property
    def effective_log_level(self) -> str:
        """The level of the log: ``DEBUG`` overrules ``LOG_LEVEL``."""
        return "DEBUG" if self.debug else self.log_level

    @property
    def postgres_dsn(self) -> str | None:
        """Where the database is (``postgresql://``, as asyncpg takes it; holds the password)."""
        sslmode = self.postgres_sslmode
        if self.database_url:
            return postgres_dsn(self.database_url.get_secret_value(), sslmode=sslmode)
        if not self.postgres_host:
            return None
        return postgres_dsn(
            host=self.postgres_host,
            port=self.postgres_port,
            database=self.postgres_db,
            user=self.postgres_user,
            password=_reveal(self.postgres_password),
            sslmode=sslmode,
        )

    @property
    def redis_dsn(self) -> str | None:
        """Where Redis is (holds the password), or None: there is none."""
        password = _reveal(self.redis_password)
        if self.redis_url:
            return redis_dsn(self.redis_url.get_secret_value(), password=password)
        if not self.redis_host:
            return None
        return redis_dsn(
            host=self.redis_host, port=self.redis_port, database=self.redis_db, password=password
        )

    @property
    def lease_deadline_seconds(self) -> float:
        """How long a lease call may take before its outcome counts as unknown."""
        return self.processing_lock_ttl / 6


def load_settings(**overrides: object) -> Settings:
    """Read the environment and ``.env``; ``overrides`` (by field name) win over both.

    Raises ``InvalidSettings``, whose text names each variable and never shows a value.
    """
    try:
        return Settings(**cast("dict[str, Any]", overrides))
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _lines_of(problem)]
        raise InvalidSettings("\n".join(lines)) from None
    except SettingsError as error:
        raise InvalidSettings(str(error)) from None


def _lines_of(problem: ErrorDetails) -> list[str]:
    text = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return [str(line) for line in text.split("\n")]
    return [f"{str(problem['loc'][0]).upper()}: {text}"]


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None

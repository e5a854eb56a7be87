"""What a running ``up`` leaves for other processes of this machine, so that they find it."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Self

import msgspec
from pydantic import SecretStr

from actors.ray_environment import MANY_MACHINES_VARIABLE
from storage.embedded import is_in_use
from storage.settings import Settings

__all__ = ["RAY_TOKEN_VARIABLE", "RunFile", "join_running", "run_file_path"]

RAY_TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of one


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a running start. Holds secrets: only its owner may read the file."""

    process_id: int
    api_url: str
    ray_address: str | None
    ray_auth_token: str | None
    """What Ray wants to see of a process that joins; None: it has its own way to it."""
    ray_is_local: bool = False
    """Ray is bound to this machine's loopback address, and so must be those that join."""
    database_url: str | None
    redis_url: str | None
    cluster_name: str
    pancake_access_token: str | None
    admin_access_token: str | None
    pancake_access_token_previous: str | None = None
    admin_access_token_previous: str | None = None

    @classmethod
    def of(cls, settings: Settings, api_url: str, environment: Mapping[str, str]) -> Self:
        """Describe a start by the settings and the environment that it runs with."""
        return cls(
            process_id=os.getpid(),
            api_url=api_url,
            ray_address=settings.ray_address,
            ray_auth_token=environment.get(RAY_TOKEN_VARIABLE),
            ray_is_local=environment.get(MANY_MACHINES_VARIABLE) == "0",
            database_url=settings.postgres_dsn,
            redis_url=settings.redis_dsn,
            cluster_name=settings.cluster_name,
            pancake_access_token=_reveal(settings.pancake_access_token),
            admin_access_token=_reveal(settings.admin_access_token),
            pancake_access_token_previous=_reveal(settings.pancake_access_token_previous),
            admin_access_token_previous=_reveal(settings.admin_access_token_previous),
        )

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        """Return what the start that runs on this data folder left; None if none runs."""
        path = run_file_path(data_dir)
        # A start that was killed leaves its file, but not its lock on the folder.
        if not is_in_use(data_dir):
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (FileNotFoundError, PermissionError, msgspec.DecodeError):
            return None

    def write(self, data_dir: Path) -> None:
        """Leave it in the data folder, whole or not at all."""
        path = run_file_path(data_dir)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self)))
        unfinished.rename(path)

    @staticmethod
    def remove(data_dir: Path) -> None:
        """Take it away."""
        run_file_path(data_dir).unlink(missing_ok=True)


def join_running(settings: Settings, environment: MutableMapping[str, str]) -> Settings:
    """Fill in what is not set from the start that runs on the data folder, if one does.

    Ray takes its own settings from the environment only, so that is where they are put.
    """
    running = RunFile.read(settings.data_dir)
    if running is None:
        return settings
    found: dict[str, object] = {}
    if settings.postgres_dsn is None and running.database_url:
        found["database_url"] = SecretStr(running.database_url)
    if settings.redis_dsn is None and running.redis_url:
        found["redis_url"] = SecretStr(running.redis_url)
    if settings.ray_address is None:
        found["ray_address"] = running.ray_address
        _prepare_ray(running, environment)
    if "cluster_name" not in settings.model_fields_set:
        found["cluster_name"] = running.cluster_name
    for name in ("pancake_access_token", "admin_access_token"):
        if getattr(settings, name) is not None:
            continue
        # Where it has no token of its own, the previous one is not its own either.
        for it in (name, f"{name}_previous"):
            token = getattr(running, it)
            found[it] = SecretStr(token) if token else None
    return settings.model_copy(update=found)


def _prepare_ray(running: RunFile, environment: MutableMapping[str, str]) -> None:
    if running.ray_auth_token:
        environment.setdefault(RAY_TOKEN_VARIABLE, running.ray_auth_token)
    if running.ray_is_local:
        environment.setdefault(MANY_MACHINES_VARIABLE, "0")


def run_file_path(data_dir: Path) -> Path:
    """Return where a start on this data folder leaves its file."""
    return data_dir / "run" / "cluster.json"


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None

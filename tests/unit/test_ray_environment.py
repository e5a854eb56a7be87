"""What Ray is told before it is imported."""

from __future__ import annotations

import importlib
import os

import pytest

from actors.ray_environment import prepare_ray_environment
from ingress import up
from storage.settings import Settings

VARIABLES = {
    "RAY_worker_niceness",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_USAGE_STATS_ENABLED",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that what the code sets is taken away again at the end.
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_token_is_asked_for_always_and_made_where_there_is_none() -> None:
    made = prepare_ray_environment(make_token=True)

    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert made is not None
    assert len(made) == 64
    assert prepare_ray_environment(make_token=True) == made
    assert prepare_ray_environment("another") == made


def test_none_is_made_beside_a_file_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "token")
    assert prepare_ray_environment(make_token=True) is None


def test_a_token_is_made_only_by_those_who_start_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of one that is there Ray may know it from ~/.ray/auth_token, which a variable would overrule.
    monkeypatch.setattr(importlib, "import_module", lambda name: name)
    up._cluster(Settings(ray_address="192.0.2.1:6379", _env_file=None))
    assert "RAY_AUTH_TOKEN" not in os.environ
    up._cluster(Settings(_env_file=None))
    assert os.environ["RAY_AUTH_TOKEN"]


def test_a_local_cluster_is_bound_to_this_machine_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    prepare_ray_environment()
    assert name not in os.environ
    monkeypatch.setenv(name, "1")
    prepare_ray_environment(is_local=True)
    assert os.environ[name] == "1"
    monkeypatch.delenv(name)
    prepare_ray_environment(is_local=True)
    assert os.environ[name] == "0"

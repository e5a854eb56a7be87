"""The environment variables that Ray reads when it is imported: call this before that."""

from __future__ import annotations

import os
import secrets

__all__ = ["prepare_ray_environment"]

TOKEN_BYTES = 32

_DEFAULTS = {
    # Ray's default, 15, doubles the time of a call between actors on a busy machine.
    "RAY_worker_niceness": "0",
    # Without it a driver with an explicit address sends no token.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def prepare_ray_environment(token: str | None = None, *, make_token: bool = False) -> str | None:
    """Set what is not set yet, for this process and those that it starts; return the token.

    ``token``: the cluster's authentication token, where it is known. ``make_token``: make one
    where there is none, because this process is about to start a cluster.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    has_file = "RAY_AUTH_TOKEN_PATH" in os.environ
    if token is None and make_token and not has_file and "RAY_AUTH_TOKEN" not in os.environ:
        token = secrets.token_hex(TOKEN_BYTES)
    if token is not None:
        os.environ.setdefault("RAY_AUTH_TOKEN", token)
    return os.environ.get("RAY_AUTH_TOKEN")

"""The environment variables that Ray reads when it is imported: call this before that."""

from __future__ import annotations

import os
import secrets

__all__ = ["MANY_MACHINES_VARIABLE", "prepare_ray_environment", "ray_encrypts"]

TOKEN_BYTES = 32

_DEFAULTS = {
    # Ray's default, 15, doubles the time of a call between actors on a busy machine.
    "RAY_worker_niceness": "0",
    # Without it a driver with an explicit address sends no token.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
MANY_MACHINES_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Named after the systems on which 0 is Ray's default: then all of its ports, those of its metrics
too, which ask for no token, are bound to the loopback address. All processes must agree."""


def prepare_ray_environment(
    token: str | None = None, *, make_token: bool = False, is_local: bool = False
) -> str | None:
    """Set what is not set yet, for this process and those that it starts; return the token.

    ``token``: the cluster's authentication token, where it is known. ``make_token``: make one
    where there is none, because this process is about to start a cluster. ``is_local``: the
    cluster is this machine alone, and no other one is to reach it.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if is_local:
        os.environ.setdefault(MANY_MACHINES_VARIABLE, "0")
    has_file = "RAY_AUTH_TOKEN_PATH" in os.environ
    if token is None and make_token and not has_file and "RAY_AUTH_TOKEN" not in os.environ:
        token = secrets.token_hex(TOKEN_BYTES)
    if token is not None:
        os.environ.setdefault("RAY_AUTH_TOKEN", token)
    return os.environ.get("RAY_AUTH_TOKEN")


def ray_encrypts() -> bool:
    """Whether Ray is told to use TLS between its processes."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")

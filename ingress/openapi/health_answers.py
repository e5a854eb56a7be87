"""What anybody may ask."""

from __future__ import annotations

from typing import Literal

from ingress.openapi.answers import Answer

__all__ = ["HandlerStatus", "Health", "Live"]

HealthName = Literal["healthy", "degraded", "unhealthy"]


class Health(Answer):
    """Whether messages can be accepted."""

    status: HealthName


class Live(Answer):
    """The process runs."""

    status: Literal["alive"]


class JobManagerStatus(Answer):
    """The jobs."""

    redis_connected: bool
    status: HealthName
    active_jobs: int


class Components(Answer):
    """The parts."""

    redis_connected: bool
    lock_manager: bool
    background_job_manager: JobManagerStatus


class HandlerStatus(Answer):
    """The message handler and its parts."""

    initialized: Literal[True]
    components: Components
    status: HealthName

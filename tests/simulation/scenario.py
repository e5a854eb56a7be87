"""What one simulation is made of, drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from pydantic import SecretStr

from storage.bots import Bot, BusyPolicy
from storage.settings import Settings
from tests.simulation.services import AI_URL, PLATFORM_URL

__all__ = ["BOTS", "LEASE_TTL_SECONDS", "Scenario"]

POLICIES: tuple[BusyPolicy, ...] = ("merge", "queue", "restart", "reject")
LEASE_TTL_SECONDS = 3.0
BOTS = [
    *(Bot(bot_id=policy, name=policy, busy_policy=policy) for policy in POLICIES),
    Bot(bot_id="burst", name="burst", debounce_ms=500, debounce_max_ms=1500),
    Bot(bot_id="polite", name="polite", fallback_message="Sorry!"),
]
"""One for each policy, one that waits for the whole of a burst, one that says sorry."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The size of a simulation, and what its parts are like."""

    seed: int
    clusters: tuple[str, ...]
    hosts: int
    """In each cluster."""
    writers: int
    conversations: int
    load_seconds: float
    faults: int
    has_redis: bool
    idle_seconds: float
    is_tight: bool
    """Whether the limits of a conversation are so low that they are reached."""

    @classmethod
    def of(cls, seed: int) -> Scenario:
        """Draw the scenario of a seed."""
        random = Random(f"{seed}/scenario")
        return cls(
            seed=seed,
            clusters=("east", "west")[: random.choice((1, 2, 2, 2))],
            hosts=random.choice((1, 2, 2)),
            writers=random.choice((1, 1, 2)),
            conversations=random.randint(1, 4),
            load_seconds=random.uniform(6.0, 16.0),
            faults=random.choice((0, 3, 6, 9, 12)),
            has_redis=random.random() < 0.95,
            idle_seconds=random.choice((1.0, 3.0, 60.0)),
            is_tight=random.random() < 0.25,
        )

    def settings(self, cluster: str) -> Settings:
        """Return the configuration of a cluster, whatever the environment says."""
        values: dict[str, Any] = {
            "database_url": SecretStr("postgresql://simulated/db"),
            "redis_url": SecretStr("redis://simulated") if self.has_redis else None,
            "cluster_name": cluster,
            "conversation_hosts": self.hosts,
            "storage_writers": self.writers,
            "processing_lock_ttl": LEASE_TTL_SECONDS,
            "conversation_idle_seconds": self.idle_seconds,
            "ai_service_url": AI_URL,
            "ai_service_timeout": 3.0,
            "ai_max_attempts": 2,
            "pancake_base_url": PLATFORM_URL,
            "delivery_max_attempts": 4,
            "response_wait_seconds": 8.0,
        }
        return Settings.model_construct(**values)

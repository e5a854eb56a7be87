"""What a host works with, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.bot_config import BotConfigService
from actors.cluster_link import ClusterLink
from actors.host_link import HostLink
from actors.outcome_streams import OutcomeSink
from actors.router import RoutingTable
from actors.services import Services
from actors.shards import Shards
from actors.writer_link import WriterLink
from storage.postgres import Database
from storage.redis_store import RedisStore
from storage.settings import Settings

__all__ = ["Resources"]

LARGEST_TRUST_MARGIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything outside a conversation that its turns need."""

    owner: str
    settings: Settings
    writer: WriterLink
    hosts: HostLink
    redis: RedisStore | None
    database: Database
    """For reads."""
    services: Services
    bots: BotConfigService
    outcomes: OutcomeSink
    table: Callable[[], RoutingTable]
    shards: Shards
    clusters: ClusterLink | None = None
    """The way to hosts of other clusters; None without Redis."""

    @property
    def lease_ttl_seconds(self) -> float:
        """How long a lease lasts if it is not renewed."""
        return self.settings.processing_lock_ttl

    def trusted_until(self, sent_at: float) -> float:
        """When to stop trusting a lease that was asked for at ``sent_at`` (monotonic seconds).

        The margin allows for clocks that run at different speeds.
        """
        margin = min(LARGEST_TRUST_MARGIN_SECONDS, self.lease_ttl_seconds / 10)
        return sent_at + self.lease_ttl_seconds - margin

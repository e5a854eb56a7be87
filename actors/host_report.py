"""What a host tells its supervisor, and so every ingress, of how it is."""

from __future__ import annotations

import os
import socket

from actors.codec import HostReport
from actors.router import Host
from actors.runner import Runner
from storage.metric_types import Figures, figures_of
from storage.metrics import (
    BUSY_CONVERSATIONS,
    CONVERSATIONS,
    HOST,
    LEASES_HELD,
    MAILBOX_MESSAGES,
    REDIS_REACHABLE,
    TURNS_RUNNING,
    encode_figures,
)

__all__ = ["host_figures", "report_of"]

CROWDED = 8
"""An AI that so small a part of the most busy conversations uses is worth a line."""


def report_of(
    host: Host, runner: Runner, *, table_version: int, has_redis: bool, is_draining: bool
) -> HostReport:
    """Return the report of a host; nothing is counted for it."""
    load = runner.load
    return HostReport(
        name=host.name,
        incarnation=host.incarnation,
        table_version=table_version,
        conversations=len(runner.seats),
        turns=load.turns,
        waiting_messages=load.waiting_messages,
        redis_leases=load.redis_leases,
        database_leases=load.database_leases,
        has_redis=has_redis,
        busy=load.busy,
        characters=load.characters,
        busy_bots=_busy_bots(runner),
        is_draining=is_draining,
        process_id=os.getpid(),
        node=socket.gethostname(),
        figures=encode_figures(host_figures(runner, has_redis=has_redis)),
    )


def host_figures(runner: Runner | None, *, has_redis: bool) -> Figures:
    """Return what the metrics of a host's process hold; it may not have started yet."""
    if runner is not None:
        load = runner.load
        CONVERSATIONS.set(len(runner.seats))
        BUSY_CONVERSATIONS.set(load.busy)
        TURNS_RUNNING.set(load.turns)
        MAILBOX_MESSAGES.set(load.waiting_messages)
        LEASES_HELD.set(load.redis_leases, "redis")
        LEASES_HELD.set(load.database_leases, "database")
        REDIS_REACHABLE.set(int(has_redis))
    return figures_of(HOST)


def _busy_bots(runner: Runner) -> dict[str, int]:
    """Return how many conversations use or want the AI of each bot, where these are many."""
    resources = runner.resources
    least = max(1, resources.settings.host_max_busy // CROWDED)
    crowded = resources.services.crowded_ais(least)
    if not crowded:
        return {}
    return {bot_id: crowded[url] for bot_id, url in resources.bots.asking(crowded).items()}

"""The actor in which conversations live."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from actors.bot_config import BotConfigService
from actors.cluster_link import ClusterLink, HostAddress
from actors.codec import (
    Envelope,
    EnvelopeKind,
    HostReport,
    decode_envelopes,
    decode_table,
    encode,
    encode_outcomes,
)
from actors.conversation.events import (
    ConversationReset,
    Event,
    JobCancelled,
    MessageReceived,
    Poked,
    Reopened,
)
from actors.erasure import forget_erased
from actors.far_hosts import concerns_far_host, hear_far_hosts, pass_on
from actors.host_link import HostLink
from actors.host_report import host_figures, report_of
from actors.lease_keeper import LeaseKeeper
from actors.mover import Mover
from actors.outcome_streams import OutcomeStreams
from actors.ports import Directory
from actors.resources import Resources
from actors.router import Host
from actors.runner import Runner
from actors.services import Services
from actors.shards import Shards
from actors.translation import message_of
from actors.writer_link import WriterLink
from storage.metric_types import Figures
from storage.postgres import Database
from storage.redis_store import RedisStore
from storage.settings import Settings
from storage.tasks import keep_running

__all__ = ["ConversationHost"]

log = structlog.get_logger()

READ_CONNECTIONS = 2
MAKE_ROOM_SECONDS = 1.0
MAX_HOPS = 3
"""So often something is handed from host to host."""


class ConversationHost:
    """Holds many conversations, each of which works for itself; made to be a Ray actor.

    It starts with the first call, so that one that Ray has restarted needs nobody to start it.
    """

    def __init__(self, name: str, settings: Settings, directory: Directory) -> None:
        self._name = name
        self._settings = settings
        self._directory = directory
        self._incarnation = uuid.uuid4().hex[:12]
        self._shards = Shards(name)
        self._outcomes = OutcomeStreams(self._busyness)
        self._starting: asyncio.Task[None] | None = None
        self._runner: Runner | None = None
        self._resources: Resources | None = None
        self._keeper: LeaseKeeper | None = None
        self._mover: Mover | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"ConversationHost({socket.gethostname()}/{self._name.removeprefix('host-')})"

    def figures(self) -> Figures:
        """Return what the metrics of this process hold."""
        has_redis = self._keeper is not None and self._keeper.has_redis
        return host_figures(self._runner, has_redis=has_redis)

    async def receive(self, envelopes: bytes) -> None:
        """Take in what is told about conversations."""
        runner = await self._started()
        for envelope in decode_envelopes(envelopes):
            self._take(runner, envelope)

    async def next_outcomes(self, ingress_id: str, next_number: int) -> bytes:
        """Return what there is to tell an ingress, as soon as there is something."""
        await self._started()
        return encode_outcomes(*await self._outcomes.read(ingress_id, next_number))

    async def ping(self, table: bytes | None) -> bytes:
        """Report; ``table`` is the routing table if the supervisor thinks it is news."""
        runner = await self._started()
        if table is not None:
            self._shards.table = decode_table(table)
            if self._mover is not None:
                self._mover.note_table()
        return encode(self._report(runner))

    async def deliveries(self) -> list[dict[str, object]]:
        """What the simulated platform of this host got, newest first."""
        await self._started()
        if self._resources is None:
            return []
        return self._resources.services.simulated_platform.deliveries()

    async def drain(self, timeout_seconds: float) -> None:
        """Finish the turns under way, start no others, and hand everything to other hosts."""
        runner = await self._started()
        self._shards.is_leaving = True
        await runner.drain(timeout_seconds)

    async def _started(self) -> Runner:
        if self._runner is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
            # Who calls may give up, or be gone: the start is for all.
            await asyncio.shield(self._starting)
        if self._runner is None:
            raise RuntimeError("the host has not started")
        return self._runner

    async def _start(self) -> None:
        settings = self._settings
        if settings.postgres_dsn is None:
            raise ValueError("a host needs a database")
        database = await Database.connect(
            settings.postgres_dsn,
            max_connections=READ_CONNECTIONS,
            application_name="conversation-host",
        )
        bots = BotConfigService(database, settings)
        await bots.start()
        owner = Host(name=self._name, incarnation=self._incarnation).owner
        redis = RedisStore.open(settings, owner)
        address = HostAddress(settings.cluster_name, owner)
        clusters = ClusterLink(address, redis.channels, self._outcomes) if redis else None
        resources = Resources(
            owner=owner,
            settings=settings,
            writer=WriterLink(self._directory, lambda: self._shards.table, self._busyness),
            hosts=HostLink(self._directory, lambda: self._shards.table, self._busyness),
            redis=redis,
            database=database,
            services=Services(settings),
            bots=bots,
            outcomes=clusters or self._outcomes,
            table=lambda: self._shards.table,
            shards=self._shards,
            clusters=clusters,
        )
        runner = Runner(resources)
        self._mover = Mover(runner, self._shards)
        self._spawn(keep_running("move", self._mover.run))
        self._keeper = LeaseKeeper(resources, lambda: list(runner.seats.values()), runner.dispatch)
        self._spawn(keep_running("renew", self._keeper.run))
        self._spawn(keep_running("make_room", partial(_make_room, runner)))
        if clusters is not None:
            take = partial(self._take, runner, is_from_afar=True)
            hear = partial(hear_far_hosts, settings, clusters, address, take)
            self._spawn(keep_running("hear_far_hosts", hear))
        self._resources, self._runner = resources, runner
        log.info("host_started", host=self._name, owner=owner)

    def _busyness(self) -> float:
        return self._runner.load.busyness() if self._runner is not None else 0.0

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, runner: Runner, envelope: Envelope, *, is_from_afar: bool = False) -> None:
        known = envelope.conversation_id in runner.seats
        resources = self._resources
        if not is_from_afar and resources and concerns_far_host(envelope, is_known=known):
            self._spawn(pass_on(resources, envelope))
        if envelope.kind is EnvelopeKind.FORGET:
            if resources is not None:
                forget_erased(resources, runner, envelope.conversation_id)
            return
        if not known and not self._takes_in(runner, envelope):
            return
        seat = runner.seat(envelope.conversation_id)
        seat.hops = max(seat.hops, envelope.hops)
        message_id = envelope.message_id
        if message_id is not None and envelope.reply_to is not None:
            seat.add_caller(message_id, envelope.reply_to, hears_start=envelope.hears_start)
        event: Event
        if envelope.message is not None:
            message = message_of(envelope.message, runner.policies)
            seat.last_message_id = message.message_id
            seat.last_message_timestamp = message.timestamp
            event = MessageReceived(message, envelope.epoch)
        elif envelope.kind is EnvelopeKind.CANCEL_JOB:
            event = JobCancelled(envelope.job_id or "")
        elif envelope.kind is EnvelopeKind.RESET:
            event = ConversationReset()
        elif envelope.kind is EnvelopeKind.REOPEN:
            event = Reopened()
        else:
            event = Poked(message_id, envelope.epoch, envelope.job_id)
        runner.dispatch(seat, event)

    def _takes_in(self, runner: Runner, envelope: Envelope) -> bool:
        """Whether to take in a conversation that is not in memory; else it is handed on.

        What has been handed on too often is kept, wherever its shard is: hosts may disagree about
        the routing table, or a lease given back may not have reached Redis.
        """
        if envelope.kind is EnvelopeKind.CANCEL_JOB:
            return False
        if not self._shards.is_foreign(envelope.conversation_id):
            # Leaving, and nobody to hand it to, or full: it is in the database, and will be found.
            is_full = runner.is_full(is_awaited=envelope.reply_to is not None)
            return not (is_full or self._shards.is_leaving)
        if envelope.hops < MAX_HOPS:
            self._spawn(self._hand_on(envelope))
            return False
        if self._mover is not None:
            self._mover.note_guest(envelope.conversation_id)
        return not self._shards.is_leaving

    async def _hand_on(self, envelope: Envelope) -> None:
        keeper = self._shards.keeper_of(envelope.conversation_id)
        if self._resources is not None and keeper is not None:
            further = msgspec.structs.replace(envelope, hops=envelope.hops + 1)
            await self._resources.hosts.send(further, keeper)

    def _report(self, runner: Runner) -> HostReport:
        return report_of(
            Host(name=self._name, incarnation=self._incarnation),
            runner,
            table_version=self._shards.table.version,
            has_redis=self._keeper is not None and self._keeper.has_redis,
            is_draining=self._shards.is_leaving,
        )


async def _make_room(runner: Runner) -> None:
    while True:
        await asyncio.sleep(MAKE_ROOM_SECONDS)
        runner.make_room()

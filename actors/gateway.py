"""The way from an ingress to the writers and hosts of its cluster."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from actors.acceptance import Acceptance
from actors.admission import Admission
from actors.cluster_view import ClusterView
from actors.codec import (
    Envelope,
    EnvelopeKind,
    decode_cluster_report,
)
from actors.dispatch import Dispatch
from actors.envelopes import address_of, envelope_of, erased
from actors.expectations import Expectation, Expectations
from actors.host_link import HostLink
from actors.outcome import Outcome, OutcomeKind
from actors.outcome_listener import OutcomeListener
from actors.ports import Directory, PeerUnavailable
from actors.writer_health import healthy_writers
from actors.writer_link import WriterLink
from storage.metric_types import Figures, figures_of
from storage.metrics import (
    INGRESS,
    MESSAGES_IN_FLIGHT,
    decode_figures,
)
from storage.process_watch import Exporter, watch_process
from storage.records import Accepted, NewMessage
from storage.redis_lease import LeaseHolder
from storage.settings import Settings
from storage.tasks import end_task, keep_running

__all__ = ["Gateway"]

log = structlog.get_logger()

UNDECIDED = frozenset({OutcomeKind.STARTED, OutcomeKind.LOCKED})
RETRY_SECONDS = 0.5
WATCH_TIMEOUT_SECONDS = 5.0
"""The supervisor answers within one second if it is there."""
READY_SECONDS = 60.0
DELIVERIES_TIMEOUT_SECONDS = 5.0
MAX_DELIVERIES = 1_000
MANY_WAITING = 100
"""Callers who wait, from which on calls go in larger batches."""


class Gateway:
    """Stores messages, hands them to their hosts, and hears what becomes of them."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self._directory = directory
        self._ingress_id = f"ingress-{uuid.uuid4().hex[:12]}"
        self._view = ClusterView()
        self._expectations = Expectations()
        self._writer = WriterLink(directory, lambda: self._view.table, self._busyness)
        self._hosts = HostLink(directory, lambda: self._view.table, self._busyness)
        self._dispatch = Dispatch(self._ingress_id, self._view, self._hosts, self._expectations)
        self._admission = Admission(
            self._view,
            self._expectations,
            self._hosts.has_room,
            settings.max_in_flight,
            settings.host_max_busy,
        )
        self._acceptance = Acceptance(self._writer, self._admission)
        self._on_word_of_job: Callable[[str], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = OutcomeListener(
            directory, self._ingress_id, lambda: self._view.table, self._hear
        )
        self._serving = asyncio.Event()

    def __repr__(self) -> str:
        return f"Ingress({socket.gethostname()}/{os.getpid()})"

    @property
    def name(self) -> str:
        """What this process is called in metrics."""
        return f"ingress-{socket.gethostname()}-{os.getpid()}"

    def figures(self) -> Figures:
        """Return what the metrics of this process hold."""
        MESSAGES_IN_FLIGHT.set(self._acceptance.under_way + len(self._expectations))
        return figures_of(INGRESS)

    def figures_of_all(self) -> dict[str, Figures]:
        """Return those of this process and what all actors last reported, by process."""
        report = self._view.report
        encoded = {it.name: it.figures for it in report.hosts} | report.figures
        return {self.name: self.figures()} | {
            name: decode_figures(data) for name, data in encoded.items()
        }

    async def start(self) -> None:
        """Wait until the cluster serves. Raises ``TimeoutError`` after ``READY_SECONDS``."""
        self._spawn(keep_running("watch", self._watch))
        self._spawn(keep_running("reroute", self._dispatch.follow_routing))
        async with asyncio.timeout(READY_SECONDS):
            await self._serving.wait()

    def watch_process(self, exporter: Exporter) -> None:
        """Have the metrics of this process exported until it is closed."""
        self._spawn(keep_running("process", partial(watch_process, self.figures, exporter)))

    async def close(self) -> None:
        """Stop listening."""
        await asyncio.gather(*(end_task(task) for task in list(self._tasks)))
        self._directory.close()

    def end_waits(self) -> None:
        """Let callers go without an outcome, for this process is about to stop."""
        self._expectations.end_all()

    async def accept(self, message: NewMessage) -> Accepted:
        """Store a message. Raises ``StorageUnavailable`` or ``Overloaded``."""
        return await self._acceptance.accept(message)

    def expect(
        self, conversation_id: str, message_id: str, *, hears_start: bool = False
    ) -> Expectation:
        """Listen for outcomes of a message; enter it before the message is routed.

        ``hears_start``: that its turn has started is one of them.
        """
        key = conversation_id, message_id
        return Expectation(self._expectations, key, hears_start=hears_start)

    def route(self, message: NewMessage, accepted: Accepted) -> None:
        """Hand a stored message to its conversation's host."""
        waiting = self._expectations.of(message.conversation_id, accepted.message_id)
        hears_start = any(it.hears_start for it in waiting)
        envelope = envelope_of(message, accepted, self._ingress_id, hears_start=hears_start)
        for expectation in waiting:
            expectation.epoch = accepted.epoch
            self._expectations.note_bot(expectation, message.bot_id)
        self._dispatch.send(envelope, waiting)

    def notify_cancelled(self, conversation_id: str, job_id: str) -> None:
        """Tell the host that a job of the conversation was cancelled in the database."""
        kind = EnvelopeKind.CANCEL_JOB
        self._notify(Envelope(conversation_id=conversation_id, kind=kind, job_id=job_id))

    def notify_reset(self, conversation_id: str, holder: LeaseHolder | None = None) -> None:
        """Tell the host that the conversation's epoch was raised: drop it, then go on afresh.

        So is ``holder`` told, who had the lease until then, if it is in another cluster.
        """
        kind, address = EnvelopeKind.RESET, address_of(holder)
        self._notify(Envelope(conversation_id=conversation_id, kind=kind, holder=address))

    def notify_reopened(self, conversation_id: str) -> None:
        """Tell the host that something of the conversation is pending again in the database."""
        self._notify(Envelope(conversation_id=conversation_id, kind=EnvelopeKind.REOPEN))

    def notify_erased(self, conversation_id: str, holder: LeaseHolder | None = None) -> None:
        """Tell every host that the conversation is not in the database any more.

        So is ``holder`` told, who had the lease until then, if it is in another cluster.
        """
        self._spawn(self._hosts.send_all([erased(conversation_id)]))
        if holder is not None:
            self._notify(erased(conversation_id, holder))

    def on_word_of_job(self, hear: Callable[[str], None]) -> None:
        """Call ``hear`` with the id of each job that a host has told this ingress something of."""
        self._on_word_of_job = hear

    async def simulated_deliveries(self) -> list[dict[str, object]]:
        """What the simulated platform got, newest first, of all hosts that answer."""
        found: list[dict[str, object]] = []
        for host in self._view.table.hosts:
            try:
                async with asyncio.timeout(DELIVERIES_TIMEOUT_SECONDS):
                    found += await self._directory.host(host.name).deliveries()
            except (PeerUnavailable, TimeoutError):
                log.warning("deliveries_not_read", host=host.name)
        found.sort(key=lambda delivery: float(str(delivery["received_at"])), reverse=True)
        return found[:MAX_DELIVERIES]

    @property
    def is_serving(self) -> bool:
        """Whether every writer reaches the database, and a host answers."""
        return self._view.is_serving

    @property
    def redis_everywhere(self) -> bool:
        """Whether every host has its leases in Redis."""
        return self._view.redis_everywhere

    def describe_actors(self) -> list[dict[str, object]]:
        """One object an actor, as the supervisor last saw it, for operators."""
        return self._view.describe_actors()

    def _busyness(self) -> float:
        return (self._acceptance.under_way + len(self._expectations)) / MANY_WAITING

    def _notify(self, envelope: Envelope) -> None:
        """Send something that nobody waits for an answer to."""
        self._dispatch.send(envelope)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        """Keep up with the cluster; a supervisor that is away changes nothing."""
        while True:
            try:
                async with asyncio.timeout(WATCH_TIMEOUT_SECONDS):
                    answer = await self._directory.supervisor().watch(self._view.table.version)
            except (PeerUnavailable, TimeoutError) as error:
                log.warning("supervisor_unreachable", error=type(error).__name__)
                # Then see for ourselves whether messages can be stored.
                names = self._view.table.writers
                self._view.note_writers(await healthy_writers(self._directory, names))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._view.update(decode_cluster_report(answer))
            if self.is_serving:
                self._serving.set()
            for host in self._listener.unheard():
                self._spawn(keep_running("listen", partial(self._listener.listen, host)))

    def _hear(self, host: str, outcome: Outcome) -> None:
        self._expectations.tell(outcome)
        if self._on_word_of_job is not None and outcome.job_id is not None:
            self._on_word_of_job(outcome.job_id)
        if outcome.kind not in UNDECIDED:
            self._admission.note_decided(host, outcome.conversation_id)

"""Hands envelopes to the hosts of their conversations, again where these have moved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from actors.cluster_view import ClusterView
from actors.codec import Envelope
from actors.envelopes import poke_for
from actors.expectations import Expectation, Expectations
from actors.host_link import HostLink

__all__ = ["Dispatch"]

log = structlog.get_logger()

REROUTE_INTERVAL_SECONDS = 0.25


class Dispatch:
    """The way of an ingress to the hosts, by the latest routing table."""

    def __init__(
        self, ingress_id: str, view: ClusterView, hosts: HostLink, expectations: Expectations
    ) -> None:
        self._ingress_id = ingress_id
        self._view = view
        self._hosts = hosts
        self._expectations = expectations

    def send(self, envelope: Envelope, waiting: Sequence[Expectation] = ()) -> None:
        """Set off an envelope; ``waiting`` are told what became of it.

        There is one for each message, so there is no task for it.
        """
        target = self._view.table.host_of(envelope.conversation_id)
        for expectation in waiting:
            expectation.routed_to = None if target is None else target.owner
        sent = None if target is None else self._hosts.put(envelope, target.name)
        if sent is None:
            _note_routed(waiting, is_taken=False)
        else:
            sent.add_done_callback(partial(_note_sent, waiting))

    async def follow_routing(self) -> None:
        """Hand what is waited for to its host again, where that host is another one by now."""
        while True:
            await asyncio.sleep(REROUTE_INTERVAL_SECONDS)
            for waiting in self._expectations.misrouted(self._view.table):
                self.send(poke_for(waiting, self._ingress_id), waiting)


def _note_sent(waiting: Sequence[Expectation], sent: asyncio.Future[list[bool]]) -> None:
    is_taken = False
    try:
        is_taken = sent.result() == [True]
    except asyncio.CancelledError:
        pass  # this process stops
    except Exception:
        log.exception("envelope_not_sent")
    _note_routed(waiting, is_taken=is_taken)


def _note_routed(waiting: Sequence[Expectation], *, is_taken: bool) -> None:
    """Note that a host has taken what these wait for, or that it is to be routed again."""
    for expectation in waiting:
        expectation.is_routed = True
        if not is_taken:
            expectation.routed_to = None
            expectation.checked_version = -1

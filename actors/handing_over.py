"""Handing what a conversation has to do to the host that holds it, or is to hold it."""

from __future__ import annotations

import asyncio

from actors.cluster_link import HostAddress
from actors.codec import Envelope, EnvelopeKind
from actors.conversation.effects import HandOver
from actors.resources import Resources
from actors.router import Host
from actors.seat import Seat

__all__ = ["HandingOver"]


class HandingOver:
    """Performs the effect with which a conversation is left to another host."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def hand_over(self, seat: Seat, effect: HandOver) -> None:
        """Tell the holder of the lease which messages wait, and who waits for them.

        Without a holder that is the host which is to have it, once our lease is given back.
        """
        resources = self._resources
        address = HostAddress.parse(effect.owner) if effect.owner is not None else None
        if address is not None and resources.clusters is not None:
            for envelope in _pokes(seat, effect.message_ids):
                resources.clusters.tell(address, envelope)
            return
        if effect.owner is not None:
            name: str | None = Host.name_in(effect.owner)
        else:
            if seat.release is not None:
                await asyncio.wait({seat.release})
            name = resources.shards.keeper_of(seat.conversation_id)
        if name is None:
            return  # the sweeper finds it when there is one
        for envelope in _pokes(seat, effect.message_ids):
            await resources.hosts.send(envelope, name)


def _pokes(seat: Seat, message_ids: tuple[str, ...]) -> list[Envelope]:
    """Ask after each message, for each of its callers; at least once in all."""
    nobody: dict[str | None, bool] = {None: False}
    asked: list[tuple[str | None, str | None, bool]] = [
        (message_id, reply_to, hears_start)
        for message_id in message_ids
        for reply_to, hears_start in (seat.callers.get(message_id) or nobody).items()
    ]
    return [
        Envelope(
            conversation_id=seat.conversation_id,
            kind=EnvelopeKind.POKE,
            epoch=seat.conversation.epoch,
            message_id=message_id,
            reply_to=reply_to,
            hears_start=hears_start,
            hops=seat.hops + 1,
        )
        for message_id, reply_to, hears_start in asked or [(None, None, False)]
    ]

"""Hearing hosts of other clusters, and telling them what an ingress of this one says to owners."""

from __future__ import annotations

from collections.abc import Callable

from actors.cluster_link import ClusterLink, HostAddress
from actors.codec import Envelope, EnvelopeKind
from actors.resources import Resources
from storage.redis_channels import ChannelListener
from storage.settings import Settings

__all__ = ["concerns_far_host", "hear_far_hosts", "pass_on"]


async def hear_far_hosts(
    settings: Settings, clusters: ClusterLink, own: HostAddress, take: Callable[[Envelope], None]
) -> None:
    """Take in what hosts of other clusters tell this one, for ever."""
    listener = ChannelListener(settings, own.channel, lambda parcel: clusters.receive(parcel, take))
    await listener.run()


def concerns_far_host(envelope: Envelope, *, is_known: bool) -> bool:
    """Whether what an ingress said may be for a host of another cluster.

    A message is not: its conversation is asked for, and the refusal says who has it.
    """
    if envelope.kind is EnvelopeKind.CANCEL_JOB:
        return not is_known
    return envelope.holder is not None


async def pass_on(resources: Resources, envelope: Envelope) -> None:
    """Tell the host of another cluster that holds the lease, or held it a moment ago."""
    if resources.redis is None or resources.clusters is None:
        return
    if envelope.holder is not None:
        address = HostAddress.parse(envelope.holder)
    else:
        (holder,) = await resources.redis.locks.inspect([envelope.conversation_id])
        address = HostAddress(holder.cluster, holder.owner) if holder is not None else None
    if address is not None and address.cluster != resources.settings.cluster_name:
        resources.clusters.tell(address, envelope)

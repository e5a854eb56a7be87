"""Which host serves a conversation, and which writer stores its messages.

Conversation → shard by a stable hash of its id, shard → host by rendezvous hashing: each host has
a score for each shard, and the highest wins. So a host that leaves hands on its own shards only,
and one that joins takes what it has the highest score for and moves nothing else. This is
routing, not ownership: two tables may disagree for a moment, and the epoch keeps that harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b

from storage.records import Record

__all__ = ["MAX_DEAD_OWNERS", "SHARD_COUNT", "Host", "RoutingTable", "shard_of"]

SHARD_COUNT = 1024
"""Fixed for good: two processes with different counts would route differently."""
MAX_DEAD_OWNERS = 256
"""How many owners that are gone a table remembers; the oldest are forgotten first."""

MAX_HASHES = 16_384
"""Of texts that are kept: a message's conversation is looked for several times."""


class Host(Record, frozen=True):
    """One incarnation of a host: a restarted one keeps its name, and so its shards."""

    name: str
    incarnation: str

    @property
    def owner(self) -> str:
        """The id that it takes leases under; a restarted host is another owner."""
        return f"{self.name}#{self.incarnation}"

    @staticmethod
    def name_in(owner: str) -> str:
        """Return the name of the host that ``owner`` is an incarnation of."""
        return owner.partition("#")[0]


class RoutingTable(Record, frozen=True, dict=True):
    """The live hosts and the writers of a cluster; the higher ``version`` is the newer one."""

    version: int = 0
    hosts: list[Host] = []
    writers: list[str] = []
    """Fixed names in a fixed order: a conversation keeps its writer as long as they stay."""
    dead_owners: list[str] = []
    """Owners known to be gone, newest last: their leases will never be used again."""

    def host_of(self, conversation_id: str) -> Host | None:
        """Return the host that serves a conversation; None while there is none."""
        if not self.hosts:
            return None
        return self.hosts[self._shard_map[shard_of(conversation_id)]]

    def host_with(self, owner: str | None) -> Host | None:
        """Return the live host that is this owner, if one is."""
        return next((host for host in self.hosts if host.owner == owner), None)

    def writer_of(self, conversation_id: str) -> str | None:
        """Return the writer that stores a conversation's messages; None while there is none."""
        if not self.writers:
            return None
        return self.writers[(_stable_hash(conversation_id) // SHARD_COUNT) % len(self.writers)]

    def shards_of(self, name: str) -> list[int]:
        """Return the shards that the host ``name`` serves."""
        return [
            shard
            for shard, position in enumerate(self._shard_map)
            if self.hosts[position].name == name
        ]

    def is_dead(self, owner: str) -> bool:
        """Whether an owner is known to be gone."""
        return owner in self._dead

    def succeeded_by(
        self, hosts: Iterable[Host], writers: Iterable[str], dead: Iterable[str] = ()
    ) -> RoutingTable:
        """Return the next table, in which the owners ``dead`` are known to be gone too.

        A host that only left the table (because it is silent) is not dead: it may hold leases.
        Returns this very table when nothing changes.
        """
        live = sorted(hosts, key=lambda host: host.name)
        names = list(writers)
        gone = [owner for owner in dead if owner not in self._dead]
        if live == self.hosts and names == self.writers and not gone:
            return self
        return RoutingTable(
            version=self.version + 1,
            hosts=live,
            writers=names,
            dead_owners=[*self.dead_owners, *gone][-MAX_DEAD_OWNERS:],
        )

    @cached_property
    def _shard_map(self) -> Sequence[int]:
        """For each shard the position of its host in ``hosts``."""
        if not self.hosts:
            return ()
        names = [host.name for host in self.hosts]
        return [
            max(range(len(names)), key=lambda position: (_score(names[position], shard), position))
            for shard in range(SHARD_COUNT)
        ]

    @cached_property
    def _dead(self) -> frozenset[str]:
        return frozenset(self.dead_owners)


def shard_of(conversation_id: str) -> int:
    """Return the shard (0 to ``SHARD_COUNT`` - 1) of a conversation, the same everywhere."""
    return _stable_hash(conversation_id) % SHARD_COUNT


def _score(host_name: str, shard: int) -> int:
    return _stable_hash(f"{shard}:{host_name}")


@lru_cache(MAX_HASHES)
def _stable_hash(text: str) -> int:
    # Not hash(): it is salted anew in each process.
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")

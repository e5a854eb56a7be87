"""Which conversations are a host's by the routing table, and who is to have the others."""

from __future__ import annotations

from actors.router import RoutingTable

__all__ = ["Shards"]


class Shards:
    """One host's view of the routing table."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.table = RoutingTable()
        self.is_leaving = False
        """Whether this host gives up all that it has."""
        self._others: tuple[int, RoutingTable] = (0, RoutingTable())

    def keeper_of(self, conversation_id: str) -> str | None:
        """Return the host that is to have a conversation; None while there is none.

        That is never this host when it is leaving.
        """
        table = self._table_of_others() if self.is_leaving else self.table
        host = table.host_of(conversation_id)
        return None if host is None else host.name

    def is_foreign(self, conversation_id: str) -> bool:
        """Whether a conversation is another host's.

        None is as long as the table does not name this host at all: it was silent for a while,
        and will be back with the next one.
        """
        if not (self.is_leaving or self._is_listed()):
            return False
        return self.keeper_of(conversation_id) not in (None, self._name)

    @property
    def is_shared(self) -> bool:
        """Whether there are other hosts that something could be given to."""
        return any(host.name != self._name for host in self.table.hosts)

    def _is_listed(self) -> bool:
        return any(host.name == self._name for host in self.table.hosts)

    def _table_of_others(self) -> RoutingTable:
        version, table = self._others
        if version != self.table.version:
            table = RoutingTable(
                version=self.table.version,
                hosts=[host for host in self.table.hosts if host.name != self._name],
            )
            self._others = (self.table.version, table)
        return table

"""Which conversations a host keeps, and which it gives up, by the routing table."""

from __future__ import annotations

from actors.router import Host, RoutingTable
from actors.shards import Shards

IDS = [f"conversation-{number}" for number in range(200)]


def table_of(*names: str, version: int = 1) -> RoutingTable:
    hosts = [Host(name=name, incarnation="1") for name in sorted(names)]
    return RoutingTable(version=version, hosts=hosts)


def shards_of(name: str, *names: str) -> Shards:
    shards = Shards(name)
    shards.table = table_of(*names)
    return shards


def test_a_conversation_is_foreign_where_its_shard_is_another_hosts() -> None:
    shards = shards_of("a", "a", "b")
    foreign = [it for it in IDS if shards.is_foreign(it)]
    assert 0 < len(foreign) < len(IDS)
    assert {shards.keeper_of(it) for it in foreign} == {"b"}


def test_a_host_that_the_table_does_not_name_keeps_what_it_has() -> None:
    assert not any(shards_of("a", "b", "c").is_foreign(it) for it in IDS)
    assert not any(Shards("a").is_foreign(it) for it in IDS)


def test_a_host_that_leaves_gives_everything_to_those_that_get_its_shards() -> None:
    shards = shards_of("a", "a", "b", "c")
    shards.is_leaving = True
    after = table_of("b", "c")
    for conversation_id in IDS:
        host = after.host_of(conversation_id)
        assert host is not None
        assert shards.is_foreign(conversation_id)
        assert shards.keeper_of(conversation_id) == host.name


def test_the_last_host_that_leaves_has_nobody_to_give_anything_to() -> None:
    shards = shards_of("a", "a")
    shards.is_leaving = True
    assert not any(shards.is_foreign(it) for it in IDS)
    assert {shards.keeper_of(it) for it in IDS} == {None}


def test_who_gets_what_follows_the_newest_table() -> None:
    shards = shards_of("a", "a", "b")
    shards.is_leaving = True
    assert {shards.keeper_of(it) for it in IDS} == {"b"}
    shards.table = table_of("a", "c", version=2)
    assert {shards.keeper_of(it) for it in IDS} == {"c"}

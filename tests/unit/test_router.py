from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.router import MAX_DEAD_OWNERS, SHARD_COUNT, Host, RoutingTable, shard_of

names = st.lists(
    st.text("abcdefghijklmnop-0123456789", min_size=1, max_size=20),
    min_size=1,
    max_size=5,
    unique=True,
)


def table_of(host_names: list[str], incarnation: str = "1") -> RoutingTable:
    return RoutingTable(
        version=1, hosts=[Host(name=name, incarnation=incarnation) for name in host_names]
    )


def shard_map(table: RoutingTable) -> dict[int, str]:
    return {shard: host.name for host in table.hosts for shard in table.shards_of(host.name)}


@given(names, st.data())
def test_a_host_that_leaves_hands_on_its_own_shards_only(
    host_names: list[str], data: st.DataObject
) -> None:
    leaver = data.draw(st.sampled_from(host_names))
    before = shard_map(table_of(host_names))
    after = shard_map(table_of([name for name in host_names if name != leaver]))
    moved = {shard for shard in before if after.get(shard) != before[shard]}
    assert moved == {shard for shard, name in before.items() if name == leaver}


@given(names, st.text("xyz", min_size=1, max_size=8))
def test_a_host_that_joins_takes_shards_and_moves_no_other(
    host_names: list[str], joiner: str
) -> None:
    before = shard_map(table_of(host_names))
    after = shard_map(table_of([*host_names, joiner]))
    assert {after[shard] for shard in before if after[shard] != before[shard]} <= {joiner}


@given(names, st.text(max_size=255))
def test_the_order_of_hosts_and_their_incarnations_do_not_matter(
    host_names: list[str], conversation_id: str
) -> None:
    shuffled = sorted(host_names, reverse=True)
    one = table_of(host_names).host_of(conversation_id)
    other = table_of(shuffled, incarnation="2").host_of(conversation_id)
    assert one is not None
    assert other is not None
    assert one.name == other.name


@pytest.mark.parametrize("count", range(1, 9))
def test_shards_are_spread_evenly(count: int) -> None:
    table = table_of([f"host-{number}" for number in range(count)])
    fair = SHARD_COUNT / count
    for host in table.hosts:
        assert len(table.shards_of(host.name)) == pytest.approx(fair, rel=0.2)


@given(st.text(min_size=1, max_size=255))
def test_every_conversation_has_a_shard_and_a_writer(conversation_id: str) -> None:
    table = RoutingTable(writers=["writer-0", "writer-1", "writer-2"])
    assert 0 <= shard_of(conversation_id) < SHARD_COUNT
    assert table.writer_of(conversation_id) in table.writers


def test_conversations_are_spread_over_writers_independently_of_shards() -> None:
    table = RoutingTable(writers=["writer-0", "writer-1"])
    one_shard = [name for name in (f"c{number}" for number in range(40_000)) if shard_of(name) == 7]
    assert {table.writer_of(name) for name in one_shard} == set(table.writers)


def test_another_process_routes_the_same() -> None:
    program = "from actors.router import shard_of; print(shard_of('conv_12345'))"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) == shard_of("conv_12345")


def test_with_nobody_there_nobody_is_named() -> None:
    assert RoutingTable().host_of("c") is None
    assert RoutingTable().writer_of("c") is None
    assert RoutingTable().shards_of("host-0") == []


def test_a_table_survives_the_wire() -> None:
    table = table_of(["a", "b"])
    table.host_of("c")
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(table), type=RoutingTable)
    assert again == table
    assert again.host_of("c") == table.host_of("c")


def test_a_restarted_host_keeps_its_shards_and_its_former_owner_is_dead() -> None:
    first = table_of(["a", "b"])
    second = first.succeeded_by(
        [Host(name="b", incarnation="2"), Host(name="a", incarnation="1")], [], dead=["b#1"]
    )
    assert second.version == first.version + 1
    assert shard_map(second) == shard_map(first)
    assert second.is_dead("b#1")
    assert not second.is_dead("b#2")
    assert not second.is_dead("a#1")


def test_a_host_that_is_only_silent_is_not_dead() -> None:
    first = table_of(["a", "b"])
    gone = first.succeeded_by([Host(name="a", incarnation="1")], [])
    assert gone.hosts == [Host(name="a", incarnation="1")]
    assert not gone.is_dead("b#1")


def test_nothing_changed_makes_no_new_version() -> None:
    table = table_of(["a", "b"])
    assert table.succeeded_by(reversed(table.hosts), []) is table


def test_dead_owners_are_bounded_and_the_oldest_are_forgotten() -> None:
    table = table_of(["a"], incarnation="0")
    for number in range(1, MAX_DEAD_OWNERS + 10):
        table = table.succeeded_by(
            [Host(name="a", incarnation=str(number))], [], dead=[f"a#{number - 1}"]
        )
    assert len(table.dead_owners) == MAX_DEAD_OWNERS
    assert table.dead_owners[-1] == f"a#{MAX_DEAD_OWNERS + 8}"

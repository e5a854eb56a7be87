"""What a host does with messages of conversations that are another host's by the routing table."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.codec import Envelope, EnvelopeKind
from actors.conversation import Conversation, Limits
from actors.host import MAX_HOPS, ConversationHost
from actors.ports import Directory
from actors.router import Host, RoutingTable
from actors.seat import Seat
from storage.settings import Settings

RUNNER = cast("Any", object())


class World:
    """A host ``a`` beside a host ``b``, and what it does with envelopes."""

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.taken: list[str] = []
        self.sent: list[tuple[Envelope, str]] = []
        self.guests: list[str] = []
        self.host = ConversationHost("a", Settings(_env_file=None), cast("Directory", None))
        hosts = [Host(name=name, incarnation="1") for name in ("a", "b")]
        self.host._shards.table = RoutingTable(version=1, hosts=hosts)
        self.host._resources = cast("Any", SimpleNamespace(hosts=self))
        self.host._mover = cast("Any", SimpleNamespace(note_guest=self.guests.append))

    async def send(self, envelope: Envelope, host: str) -> bool:
        self.sent.append((envelope, host))
        return True

    def seat(self, conversation_id: str) -> Seat:
        seat = self.seats.get(conversation_id) or Seat(Conversation(conversation_id, Limits()))
        self.seats[conversation_id] = seat
        return seat

    def dispatch(self, seat: Seat, event: object) -> None:
        self.taken.append(seat.conversation_id)

    def is_full(self, *, is_awaited: bool) -> bool:
        return False

    async def take(self, conversation_id: str, hops: int = 0) -> None:
        envelope = Envelope(conversation_id=conversation_id, kind=EnvelopeKind.POKE, hops=hops)
        self.host._take(cast("Any", self), envelope)
        await asyncio.gather(*self.host._tasks)

    def shard_of(self, name: str) -> str:
        """Return a conversation whose shard is this host's."""
        table = self.host._shards.table
        ids = (f"conversation-{number}" for number in range(1_000))
        return next(it for it in ids if (host := table.host_of(it)) and host.name == name)


async def test_a_start_is_not_broken_off_with_the_call_that_began_it() -> None:
    host = ConversationHost("a", Settings(_env_file=None), cast("Directory", None))
    may_go_on = asyncio.Event()
    starts: list[str] = []

    async def start() -> None:
        starts.append("begun")
        await may_go_on.wait()
        host._runner = RUNNER

    host._start = start  # type: ignore[method-assign]
    first = asyncio.create_task(host._started())
    while not starts:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    may_go_on.set()
    assert await host._started() is RUNNER
    assert starts == ["begun"]


async def test_a_start_that_failed_is_tried_again() -> None:
    host = ConversationHost("a", Settings(_env_file=None), cast("Directory", None))
    results: list[Exception | None] = [OSError("the database is away"), None]

    async def start() -> None:
        if (error := results.pop(0)) is not None:
            raise error
        host._runner = RUNNER

    host._start = start  # type: ignore[method-assign]
    with pytest.raises(OSError, match="away"):
        await host._started()
    assert await host._started() is RUNNER


async def test_what_is_its_own_is_taken_in() -> None:
    world = World()
    own = world.shard_of("a")
    await world.take(own)
    assert world.taken == [own]
    assert not world.sent


async def test_what_is_another_hosts_is_handed_on_and_that_is_counted() -> None:
    world = World()
    await world.take(world.shard_of("b"), hops=1)
    ((envelope, host),) = world.sent
    assert (host, envelope.hops) == ("b", 2)
    assert not world.taken


async def test_what_was_handed_on_too_often_is_done_here_and_sent_home_then() -> None:
    world = World()
    foreign = world.shard_of("b")
    await world.take(foreign, hops=MAX_HOPS)
    assert world.taken == world.guests == [foreign]
    assert not world.sent


async def test_what_is_still_here_is_told_of_what_comes_wherever_its_shard_is() -> None:
    world = World()
    foreign = world.shard_of("b")
    world.seat(foreign)
    await world.take(foreign)
    assert world.taken == [foreign]


async def test_a_host_that_leaves_hands_its_own_on_and_takes_nothing_in() -> None:
    world = World()
    world.host._shards.is_leaving = True
    own = world.shard_of("a")
    await world.take(own)
    await world.take(own, hops=MAX_HOPS)
    assert [host for _, host in world.sent] == ["b"]
    assert not world.taken

"""A message goes to the host of its conversation, and again where it was not taken."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from actors.cluster_view import ClusterView
from actors.codec import ClusterReport, Envelope, EnvelopeKind, decode_envelopes
from actors.dispatch import Dispatch
from actors.expectations import Expectation, Expectations
from actors.host_link import HostLink
from actors.ports import Directory, PeerUnavailable
from actors.router import Host, RoutingTable

HOST = Host(name="host-0", incarnation="1")
ENVELOPE = Envelope(conversation_id="c", kind=EnvelopeKind.POKE, message_id="m")


class FakeHost:
    """Takes envelopes, or raises what it is given to raise."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.taken: list[Envelope] = []
        self.has_taken = asyncio.Event()

    def host(self, name: str) -> FakeHost:
        assert name == HOST.name
        return self

    async def receive(self, batch: bytes) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop()
        self.taken += decode_envelopes(batch)
        self.has_taken.set()


class World:
    """A dispatch to one host, and one who waits for a message."""

    def __init__(self, *hosts: Host) -> None:
        self.host = FakeHost()
        self.view = ClusterView()
        self.view.update(ClusterReport(table=RoutingTable(version=1, hosts=list(hosts))))
        self.book = Expectations()
        link = HostLink(cast("Directory", self.host), lambda: self.view.table)
        self.dispatch = Dispatch("ingress", self.view, link, self.book)
        self.waiting = Expectation(self.book, ("c", "m"))
        self.book.add(self.waiting)

    async def send(self) -> None:
        self.dispatch.send(ENVELOPE, [self.waiting])
        for _ in range(10):  # turns of the loop; it takes three
            await asyncio.sleep(0)
        assert self.waiting.is_routed


async def test_what_a_host_has_taken_is_there() -> None:
    world = World(HOST)
    await world.send()
    assert world.host.taken == [ENVELOPE]
    assert world.waiting.routed_to == HOST.owner
    assert not world.book.misrouted(world.view.table)


async def test_what_a_host_has_not_taken_is_handed_on_again() -> None:
    for error in (PeerUnavailable("gone"), ValueError("a bug")):
        world = World(HOST)
        world.host.errors.append(error)
        await world.send()
        assert world.waiting.routed_to is None
        assert world.book.misrouted(world.view.table) == [[world.waiting]]
        following = asyncio.create_task(world.dispatch.follow_routing())
        await asyncio.wait_for(world.host.has_taken.wait(), 10)
        following.cancel()
        assert world.host.taken[0].message_id == "m"


async def test_what_comes_while_there_is_no_host_goes_to_the_first_one() -> None:
    world = World()
    await world.send()
    assert world.waiting.routed_to is None
    assert not world.book.misrouted(world.view.table)
    world.view.update(ClusterReport(table=RoutingTable(version=2, hosts=[HOST])))
    assert world.book.misrouted(world.view.table) == [[world.waiting]]


async def test_a_report_that_changes_no_route_keeps_the_table() -> None:
    world = World(HOST)
    before: Any = world.view.table
    world.view.update(ClusterReport(table=RoutingTable(version=1, hosts=[HOST])))
    assert world.view.table is before
    world.view.update(ClusterReport(table=RoutingTable(version=2, hosts=[HOST])))
    assert world.view.table.version == 2

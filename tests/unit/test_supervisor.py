"""The supervisor's routing table follows hosts and machines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from actors import supervisor as module
from actors.codec import HostReport, decode_table, encode
from actors.nodes import Node
from actors.ports import Directory, PeerUnavailable
from actors.supervisor import Supervisor
from storage.settings import Settings
from tests.unit.test_nodes import HEAD, WORKER, Ray


class PretendedHost:
    """Answers pings, or does not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.incarnation = "1"
        self.is_silent = False
        self.is_draining = False
        self.table_version = 0

    async def ping(self, table: bytes | None) -> bytes:
        if self.is_silent:
            raise PeerUnavailable(self.name)
        if table is not None:
            self.table_version = decode_table(table).version
        report = HostReport(
            name=self.name,
            incarnation=self.incarnation,
            table_version=self.table_version,
            conversations=0,
            turns=0,
            waiting_messages=0,
            redis_leases=0,
            database_leases=0,
            has_redis=True,
            is_draining=self.is_draining,
        )
        return encode(report)

    async def drain(self, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        self.is_draining = True


class World:
    """A supervisor, the machines and the hosts that it looks after."""

    def __init__(self, *nodes: Node) -> None:
        self.ray = Ray(*nodes)
        self.hosts: dict[str, PretendedHost] = {}
        settings = Settings(conversation_hosts=1, _env_file=None)
        self.supervisor = Supervisor(settings, cast("Directory", self), self.ray)

    def start(self) -> None:
        self.supervisor._spawn(self.supervisor._watch_hosts())

    def host(self, name: str) -> PretendedHost:
        return self.hosts.setdefault(name, PretendedHost(name))

    @property
    def table(self) -> list[str]:
        return [host.name for host in self.supervisor._table.hosts]

    async def becomes(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while self.table != list(names):
                await self.supervisor._changed.wait()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "NODES_SECONDS", 0.01)
    monkeypatch.setattr(module, "PING_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(module, "PING_TIMEOUT_SECONDS", 0.1)
    made = World(HEAD, WORKER)
    yield made
    tasks = [*made.supervisor._watchers.values(), *made.supervisor._tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_hosts_of_all_machines_are_in_the_table(world: World) -> None:
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")


async def test_the_first_table_waits_until_every_host_was_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PING_TIMEOUT_SECONDS", 30.0)
    asked = asyncio.Event()
    released = asyncio.Event()
    slow = world.host("host-0")
    answer = slow.ping

    async def ping(table: bytes | None) -> bytes:
        asked.set()
        await released.wait()
        return await answer(table)

    slow.ping = ping  # type: ignore[method-assign]
    world.start()
    await asked.wait()
    await asyncio.sleep(0.05)
    assert world.table == []
    released.set()
    await world.becomes("host-0", "host-bbbbbbbb-0")


async def test_a_silent_host_does_not_hold_up_the_first_table_for_ever(world: World) -> None:
    world.host("host-0").is_silent = True
    world.start()
    await world.becomes("host-bbbbbbbb-0")


async def test_a_machine_that_is_gone_takes_its_hosts_out_of_the_table(world: World) -> None:
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    world.ray.machines.remove(WORKER)
    await world.becomes("host-0")
    assert not world.supervisor._table.dead_owners  # it may still hold leases: they lapse


async def test_a_machine_that_joins_gets_hosts(world: World) -> None:
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    world.ray.machines.append(Node(node_id="c" * 56, is_head=False, has_cpus=True))
    await world.becomes("host-0", "host-bbbbbbbb-0", "host-cccccccc-0")
    assert ("host-cccccccc-0", "c" * 56) in world.ray.made


async def test_while_rays_head_is_away_the_table_follows_the_pings_alone(world: World) -> None:
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    world.ray.is_away = True
    world.host("host-0").is_silent = True
    await world.becomes("host-bbbbbbbb-0")
    world.host("host-0").is_silent = False
    await world.becomes("host-0", "host-bbbbbbbb-0")


async def test_a_machine_that_is_drained_hands_its_shards_to_the_others(world: World) -> None:
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    leaving = Node(node_id=WORKER.node_id, is_head=False, has_cpus=True, is_draining=True)
    world.ray.machines[1] = leaving
    await world.becomes("host-0")
    assert world.host("host-bbbbbbbb-0").is_draining


async def test_the_last_machine_is_not_drained(world: World) -> None:
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    world.ray.machines[:] = [
        Node(node_id=it.node_id, is_head=it.is_head, has_cpus=True, is_draining=True)
        for it in (HEAD, WORKER)
    ]
    await asyncio.sleep(0.1)
    assert not any(host.is_draining for host in world.hosts.values())
    assert world.table == ["host-0", "host-bbbbbbbb-0"]


async def test_the_hosts_of_a_spare_machine_hand_over_and_then_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.0)
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    world.ray.machines = [HEAD, replace(WORKER, is_spare=True)]
    await world.becomes("host-0")
    assert world.host("host-bbbbbbbb-0").is_draining
    await world.supervisor._drains["host-bbbbbbbb-0"]
    assert set(world.ray.ended) == {"host-bbbbbbbb-0"}


async def test_a_host_that_was_leaving_ends_though_its_machine_is_wanted_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.0)
    world.host("host-bbbbbbbb-0").is_draining = True  # as a supervisor that is new finds it
    world.start()
    await world.becomes("host-0")
    async with asyncio.timeout(10):
        while "host-bbbbbbbb-0" not in world.ray.ended:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)


async def test_a_host_that_was_started_again_while_it_left_is_not_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.0)
    host = world.host("host-bbbbbbbb-0")
    serves_again = asyncio.Event()

    async def die_and_come_back(timeout_seconds: float) -> None:
        host.incarnation, host.is_draining = "2", False
        await serves_again.wait()

    monkeypatch.setattr(host, "drain", die_and_come_back)
    host.is_draining = True
    world.start()
    await world.becomes("host-0", "host-bbbbbbbb-0")
    serves_again.set()
    await world.supervisor._drains["host-bbbbbbbb-0"]
    assert not world.ray.ended

"""What ``RETENTION_HOURS`` does by itself."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from pydantic import SecretStr

from actors import sweeper as module
from actors.codec import EnvelopeKind, decode_envelopes
from actors.ports import Directory
from actors.router import Host, RoutingTable
from actors.sweeper import Sweeper
from storage.postgres import Database
from storage.settings import Settings
from storage.tasks import end_task
from tests.stack.server import wait_for
from tests.storage.client import Client, delivered
from tests.storage.test_reads import age

TABLE = RoutingTable(version=1, hosts=[Host(name=name, incarnation="1") for name in ("a", "b")])


class Hosts:
    """Two hosts that note what they are told to forget."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, str]] = []

    def host(self, name: str) -> Told:
        return Told(self, name)


class Told:
    def __init__(self, hosts: Hosts, name: str) -> None:
        self._hosts = hosts
        self._name = name

    async def receive(self, envelopes: bytes) -> None:
        for envelope in decode_envelopes(envelopes):
            assert envelope.kind is EnvelopeKind.FORGET
            self._hosts.forgotten.append((self._name, envelope.conversation_id))


async def test_old_conversations_go_by_themselves_again_and_again_and_every_host_is_told(
    client: Client, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETENTION_INTERVAL_SECONDS", 0.05)
    settings = Settings(_env_file=None, database_url=SecretStr(database_url), retention_hours=24)
    hosts = Hosts()
    sweeper = Sweeper(settings, cast("Directory", hosts), lambda: TABLE)

    async def finish(conversation_id: str) -> None:
        job_id = await client.committed_job(conversation_id, "m1", delivering=True)
        await client.do(delivered(conversation_id, job_id))

    async def are_left(*names: str) -> bool:
        rows = await database.fetch("select conversation_id from conversations order by 1")
        return [row["conversation_id"] for row in rows] == list(names)

    async def all_are_told() -> bool:
        return len(hosts.forgotten) >= 4

    await finish("old")
    await age(database, 25 * 3600)
    await finish("young")
    running = asyncio.create_task(sweeper.run())
    await wait_for(lambda: are_left("young"), what="the old one is gone")
    await age(database, 25 * 3600)
    await wait_for(are_left, what="both are gone")
    await wait_for(all_are_told, what="every host is told")
    await end_task(running)
    assert sorted(hosts.forgotten) == [("a", "old"), ("a", "young"), ("b", "old"), ("b", "young")]

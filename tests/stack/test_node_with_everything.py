"""The machine dies that has the supervisor and the writer: they are started on another one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.ray_nodes import RayCluster
from tests.stack.ray_products import product_on
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = [pytest.mark.timeout(300), pytest.mark.soak]

RETURN_SECONDS = 90.0


async def test_supervisor_and_writer_come_back_on_another_machine_when_theirs_dies(
    stubs: Stubs, postgres: PostgresServer, redis: RedisServer, tmp_path: Path
) -> None:
    cluster = RayCluster(tmp_path)
    await asyncio.to_thread(cluster.add, 0)
    dying = await asyncio.to_thread(cluster.add)
    settings = settings_of(stubs, postgres, redis) | {"CONVERSATION_HOSTS": "1"}
    product = product_on(cluster, tmp_path, settings)
    try:
        await asyncio.to_thread(product.start)
        await asyncio.to_thread(install_audit, postgres.url)
        other = await asyncio.to_thread(cluster.add)

        async def has_its_host() -> bool:
            return bool(other.actors("ConversationHost"))

        await wait_for(has_its_host, RETURN_SECONDS, "the other machine has a host")
        assert dying.actors("Supervisor")
        assert dying.actors("StorageWriter")
        ids = conversations_for(stubs, "everything")
        async with open_traffic(product.url, concurrency=200) as traffic:
            sending = await in_the_middle(traffic, stubs, ids, more_seconds=2.5)
            await asyncio.to_thread(dying.cut_power)
            died_at = time.monotonic()
            await traffic.send_all([message(it, "while all is gone") for it in ids])
            print(f"all gone: accepted again {time.monotonic() - died_at:.1f} s later", end="; ")
            await sending
            assert other.actors("Supervisor")
            assert other.actors("StorageWriter")
            await traffic.check_history(
                postgres, stubs, ids, timeout_seconds=60, is_undisturbed=False
            )
            print(f"longest wait of a caller {max(traffic.waits):.1f} s")
    finally:
        product.end()
        cluster.close()

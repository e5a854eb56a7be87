"""Ray's head dies with all that it knew: everything is started again, as the README says."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import ENHANCED, message
from tests.stack.conftest import settings_of
from tests.stack.history import History, install_audit
from tests.stack.ray_nodes import RayCluster
from tests.stack.ray_products import ingress_on, product_on
from tests.stack.server import MESSAGES_TOKEN, Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = [pytest.mark.timeout(300), pytest.mark.soak]

END_SECONDS = 30.0
REFUSAL_SECONDS = 20.0
PATIENCE_SECONDS = 15
"""How long Ray's processes wait for a head that is away, then they end; 60 if nobody says."""


def refuse_until_the_end(ingress: Server) -> tuple[list[int], float]:
    """Ask an instance whose Ray is gone until it ends; return its healths, and the longest wait.

    No message may be taken any more, and nobody may be kept waiting.
    """
    process = ingress.process
    assert process is not None
    healths: list[int] = []
    longest = 0.0
    end = time.monotonic() + PATIENCE_SECONDS + END_SECONDS
    with httpx.Client(
        base_url=ingress.url,
        headers={"Authorization": f"Bearer {MESSAGES_TOKEN}"},
        timeout=REFUSAL_SECONDS,
    ) as client:
        while process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            started_at = time.monotonic()
            try:
                refused = client.post(ENHANCED, json=message("nobody"))
                assert refused.status_code == 503, refused.text
                assert "Retry-After" in refused.headers
                longest = max(longest, time.monotonic() - started_at)
                healths.append(client.get("/health").status_code)
            except httpx.TransportError:
                process.wait(END_SECONDS)  # it ended while it was asked
    return healths, longest


async def test_when_ray_is_gone_messages_are_refused_and_after_a_new_start_nothing_is_lost(
    stubs: Stubs, postgres: PostgresServer, redis: RedisServer, tmp_path: Path
) -> None:
    cluster = RayCluster(tmp_path, patience_seconds=PATIENCE_SECONDS)
    head = await asyncio.to_thread(cluster.add)
    product = product_on(cluster, tmp_path, settings_of(stubs, postgres, redis))
    ingress = ingress_on(head, product, tmp_path)
    try:
        await asyncio.to_thread(product.start)
        await asyncio.to_thread(install_audit, postgres.url)
        await asyncio.to_thread(ingress.start)
        ids = conversations_for(stubs, "anew")
        async with open_traffic(ingress.url, concurrency=200) as traffic:
            sending = await in_the_middle(traffic, stubs, ids)
            await asyncio.to_thread(head.cut_power)
            cut_at = time.monotonic()
            product.kill()
            # An instance beside it answers until Ray's library gives up and ends its process.
            healths, longest = await asyncio.to_thread(refuse_until_the_end, ingress)
            assert 503 in healths
            print(f"refused after {longest:.1f} s at most", end=", ")
            print(f"ended {time.monotonic() - cut_at:.1f} s after Ray", end="; ")
            pending = History.pending(await History.read(postgres.url, stubs, ids))
            assert pending, "nothing was under way"

            await asyncio.to_thread(head.start)
            await asyncio.to_thread(product.start)
            await asyncio.to_thread(ingress.start)
            started_at = time.monotonic()
            await sending
            await traffic.check_history(
                postgres, stubs, ids, timeout_seconds=60, is_undisturbed=False
            )
            print(f"{len(pending)} jobs and messages were pending", end=", ")
            print(f"all done {time.monotonic() - started_at:.1f} s after the new start")
    finally:
        ingress.end()
        product.end()
        cluster.close()

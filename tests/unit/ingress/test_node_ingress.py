"""The HTTP server of a machine: serves as soon as it can, and stops in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router

from ingress import node_ingress as module
from ingress.node_ingress import NodeIngress
from ingress.server import bind_listener
from storage.processes import free_port
from storage.settings import Settings

ADDRESS = "127.0.0.1"
READY_SECONDS = 20


class PretendedGateway:
    """Counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def end_waits(self) -> None:
        raise AssertionError("nobody waits for so long here")

    async def close(self) -> None:
        self.is_closed = True


class World:
    """What the server finds: gateways, and an application that answers when it is let."""

    def __init__(self) -> None:
        self.gateways: list[PretendedGateway] = []
        self.asked = asyncio.Event()
        self.released = asyncio.Event()
        self.failures = 0

    async def open_gateway(self, settings: Settings) -> PretendedGateway:
        if self.failures:
            self.failures -= 1
            raise TimeoutError("the actors do not serve")
        self.gateways.append(PretendedGateway())
        return self.gateways[-1]

    @asynccontextmanager
    async def open_application(self, settings: Settings, gateway: Any) -> AsyncIterator[Router]:
        yield Router([Route("/", self.answer), Route("/slow", self.answer_later)])

    async def answer(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    async def answer_later(self, request: Request) -> PlainTextResponse:
        self.asked.set()
        await self.released.wait()
        return PlainTextResponse("at last")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    remote = SimpleNamespace(open_gateway=world.open_gateway)
    monkeypatch.setitem(sys.modules, "actors.remote", remote)
    monkeypatch.setattr(module, "open_application", world.open_application)
    monkeypatch.setattr(module, "configure_logging", lambda level, name: None)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    return world


@pytest.fixture
async def serve(world: World) -> AsyncIterator[Callable[[int], NodeIngress]]:
    made: list[NodeIngress] = []

    def make(port: int) -> NodeIngress:
        made.append(NodeIngress("ingress-a", Settings(api_port=port, _env_file=None), ADDRESS))
        return made[-1]

    yield make
    for ingress in made:
        await ingress.stop()


async def answer_of(port: int, path: str = "/") -> str:
    """Ask until somebody listens."""
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient() as client:
        while True:
            try:
                return (await client.get(f"http://{ADDRESS}:{port}{path}")).text
            except httpx.ConnectError:
                await asyncio.sleep(0.02)


async def test_it_serves_on_the_address_it_was_given_until_it_is_stopped(
    world: World, serve: Callable[[int], NodeIngress]
) -> None:
    port = free_port()
    ingress = serve(port)
    assert await answer_of(port) == "here"
    assert repr(ingress) == f"NodeIngress({ADDRESS}:{port})"
    await ingress.stop()
    assert [it.is_closed for it in world.gateways] == [True]
    bind_listener(ADDRESS, port).close()  # it is free again


async def test_a_request_under_way_is_answered_before_it_ends(
    world: World, serve: Callable[[int], NodeIngress]
) -> None:
    port = free_port()
    ingress = serve(port)
    asking = asyncio.create_task(answer_of(port, "/slow"))
    await world.asked.wait()
    stopping = asyncio.create_task(ingress.stop())
    await asyncio.sleep(0.1)
    assert not stopping.done()
    world.released.set()
    assert await asking == "at last"
    await stopping


async def test_it_waits_for_an_address_that_is_taken(
    world: World, serve: Callable[[int], NodeIngress]
) -> None:
    port = free_port()
    with bind_listener(ADDRESS, port) as taken:
        taken.listen()
        serve(port)
        await asyncio.sleep(0.2)
        assert not world.gateways
    assert await answer_of(port) == "here"


async def test_it_can_be_stopped_while_it_waits(
    world: World, serve: Callable[[int], NodeIngress]
) -> None:
    port = free_port()
    with bind_listener(ADDRESS, port) as taken:
        taken.listen()
        async with asyncio.timeout(READY_SECONDS):
            await serve(port).stop()
    assert not world.gateways


async def test_it_tries_again_where_the_actors_do_not_serve_yet(
    world: World, serve: Callable[[int], NodeIngress]
) -> None:
    world.failures = 1
    port = free_port()
    serve(port)
    assert await answer_of(port) == "here"

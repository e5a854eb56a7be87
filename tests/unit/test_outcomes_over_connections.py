"""What a host has to tell reaches the ingress, also where connections between them break."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from actors.call_connection import CallConnection
from actors.codec import encode_outcomes
from actors.outcome import Outcome, OutcomeKind
from actors.outcome_listener import OutcomeListener
from actors.outcome_streams import OutcomeStreams
from actors.peers import RemoteHost
from actors.ports import Directory, PeerUnavailable
from actors.router import Host, RoutingTable
from storage.call_server import CallServer

WAIT_SECONDS = 20.0
TABLE = RoutingTable(version=1, hosts=[Host(name="host-0", incarnation="1")])


def outcome(message_id: str) -> Outcome:
    return Outcome(conversation_id="c", message_id=message_id, kind=OutcomeKind.COMPLETED)


class FarHost:
    """Answers, but its first answers are lost on their way."""

    def __init__(self) -> None:
        self.streams = OutcomeStreams()
        self.server = CallServer(self)
        self.to_be_lost = 2

    async def next_outcomes(self, ingress_id: str, next_number: int) -> bytes:
        answer = encode_outcomes(*await self.streams.read(ingress_id, next_number))
        if self.to_be_lost:
            self.to_be_lost -= 1
            await self.server.close()
            self.server = CallServer(self)
        return answer


class Way:
    """A connection to the host, opened again when it breaks."""

    def __init__(self, host: FarHost) -> None:
        self.host_actor = host
        self.connection: CallConnection | None = None

    async def call(self, method: str, *arguments: object) -> Any:
        try:
            if self.connection is None or not self.connection.is_open:
                address = await self.host_actor.server.address("127.0.0.1")
                self.connection = await CallConnection.open(address)
            return await self.connection.call(method, *arguments)
        except ConnectionError as error:
            raise PeerUnavailable(str(error)) from error

    def host(self, name: str) -> RemoteHost:
        return RemoteHost(self)


async def test_an_outcome_that_is_lost_on_its_way_is_told_again() -> None:
    host = FarHost()
    heard: list[str] = []
    are_all_heard = asyncio.Event()

    def hear(_: str, told: Outcome) -> None:
        heard.append(told.message_id)
        if len(heard) == 3:
            are_all_heard.set()

    directory = cast("Directory", Way(host))
    listener = OutcomeListener(directory, "ingress-1", lambda: TABLE, hear)
    for number in range(3):
        host.streams.put("ingress-1", outcome(str(number)))
    listening = asyncio.create_task(listener.listen("host-0"))
    async with asyncio.timeout(WAIT_SECONDS):
        await are_all_heard.wait()
    host.streams.put("ingress-1", outcome("3"))
    while len(heard) < 4:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.01)
    assert heard == ["0", "1", "2", "3"]
    listening.cancel()
    await asyncio.wait([listening])
    await host.server.close()

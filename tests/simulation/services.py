"""The simulated AI and the simulated platform, where HTTP requests would arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any

import orjson

from actors.http_client import CallFailed, CallTimedOut, Reply
from tests.simulation.checker import Checker
from tests.simulation.network import Network
from tests.simulation.process import current_process
from tests.simulation.tables import UNSTORABLE

__all__ = ["AI_URL", "PLATFORM_URL", "Services"]

AI_URL = "http://ai.test"
PLATFORM_URL = "http://platform.test"


class Services:
    """Both of them, in the place of an ``HttpClient``."""

    def __init__(self, network: Network, checker: Checker) -> None:
        self._network = network
        self._checker = checker
        self._numbers = count(1)

    async def post_json(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> Reply:
        """Send ``body`` to one of them. Raises ``CallFailed`` or ``CallTimedOut``."""
        key = headers["Idempotency-Key"]
        try:
            async with asyncio.timeout(timeout_seconds):
                if url.startswith(AI_URL):
                    return await self._ask_ai(orjson.loads(body), key)
                return await self._deliver(body.decode(), key)
        except TimeoutError as error:
            raise CallTimedOut("no reply in time") from error

    async def aclose(self) -> None:
        """Close what is not open."""

    async def _ask_ai(self, request: dict[str, Any], key: str) -> Reply:
        network = self._network
        weather, random = network.weather, network.random
        self._checker.turns.asked(current_process(), request["conversation_id"], key)
        network.trace.note(network.loop.now, f"{current_process()} asks the AI {key}")
        seconds = 0.05 + 1.5 * random.random() ** 2
        if random.random() < weather.ai_fails:
            return await self._fail_ai(random.choice(("500", "429", "garbage", "hang", "cut")))
        reply = self._reply(request)
        return await network.ask(lambda: Reply(200, {}, orjson.dumps(reply)), back=seconds)

    async def _fail_ai(self, kind: str) -> Reply:
        network = self._network
        network.weather.inject(f"AI: {kind}")
        if kind == "hang":
            await network.wait(3600.0, CallFailed("hung"))
        if kind == "cut":
            await network.wait(0.5, CallFailed("cut off"))
        if kind == "garbage":
            return await network.ask(lambda: Reply(200, {}, b"<html>"))
        headers = {"retry-after": "1"} if kind == "429" else {}
        return await network.ask(lambda: Reply(int(kind), headers, b""))

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        text = f"answer {next(self._numbers)} to {','.join(request['message_ids'])}"
        actions: list[dict[str, Any]] = []
        chance = self._network.random.random()
        if chance < 0.03:
            actions = [{"type": "transfer_to_agent", "data": {"reason": "asked for"}}]
        elif chance < 0.06:
            actions = [{"type": "end_conversation", "data": {"reason": "goodbye"}}]
        elif chance < 0.08:
            text += UNSTORABLE
        return {"response_text": text, "actions": actions}

    async def _deliver(self, body: str, key: str) -> Reply:
        network = self._network
        weather, random = network.weather, network.random
        deliveries = self._checker.deliveries
        deliveries.sent(current_process(), key, body)
        network.trace.note(network.loop.now, f"{current_process()} delivers {key}")
        seconds = 0.01 + 0.3 * random.random() ** 2
        if weather.platform_is_down:
            await network.wait(0.001, CallFailed("refused"))
        kind = ""
        if random.random() < weather.platform_fails:
            kind = random.choice(("500", "408", "400", "cut", "500 done", "cut done", "false"))
            weather.inject(f"platform: {kind}")
        if kind == "cut":
            await network.wait(0.2, CallFailed("cut off"))
        if kind and not kind.endswith("done"):
            said = b'{"success": false}' if kind == "false" else b""
            status = int(kind) if kind.isdigit() else 200
            return await network.ask(lambda: Reply(status, {}, said), there=seconds)
        error = CallFailed("cut off") if kind == "cut done" else None

        def take() -> Reply:
            deliveries.arrived(key, body)
            return Reply(500 if kind else 200, {}, b"{}")

        return await network.ask(take, there=seconds, error=error)

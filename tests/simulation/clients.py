"""People who write: each conversation has one, who repeats what was not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, Literal

from actors.ports import PeerUnavailable
from ingress.schemas import EnhancedMessageRequest, Metadata
from tests.simulation.checker import Checker
from tests.simulation.network import Network
from tests.simulation.process import EPOCH

__all__ = ["Client"]

BOTS = ("merge", "merge", "queue", "restart", "reject", "burst", "polite")
WAIT_SECONDS = 10.0
SENDERS: tuple[Literal["user", "agent", "system"], ...] = (*("user",) * 12, "agent", "system")


class Client:
    """Writes to one conversation, by any of the clusters."""

    def __init__(
        self,
        conversation_id: str,
        ingresses: Sequence[str],
        network: Network,
        checker: Checker,
        random: Random,
    ) -> None:
        self.conversation_id = conversation_id
        self._ingresses = ingresses
        self._home = random.choice(ingresses)
        self._network = network
        self._checker = checker
        self._random = random
        self._bot = random.choice(BOTS)
        self._written = 0
        self.job_ids: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, until: float) -> None:
        """Write now and then, in bursts too, until then."""
        loop, random = self._network.loop, self._random
        await asyncio.sleep(random.uniform(0, 2))
        while loop.now < until:
            for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
                self._send_soon(random.uniform(0, 0.3))
            await asyncio.sleep(random.choice((0.3, 1.0, 3.0)) * random.uniform(0.3, 2.0))
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _send_soon(self, seconds: float) -> None:
        self._written += 1
        task = asyncio.get_running_loop().create_task(self._send(self._written, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, number: int, seconds: float) -> None:
        random = self._random
        request = self._request(number)
        attempts = random.choice((1, 3, 30))
        await asyncio.sleep(seconds)
        for _ in range(attempts):
            if await self._try(request):
                break
            await asyncio.sleep(random.uniform(0.1, 2.0))
        if random.random() < 0.1:  # a webhook that is sent twice
            await asyncio.sleep(random.uniform(0, 4.0))
            await self._try(request)

    def _request(self, number: int) -> EnhancedMessageRequest:
        random = self._random
        kind = random.choice(SENDERS)
        bot = self._bot if random.random() < 0.9 else random.choice(BOTS)
        return EnhancedMessageRequest(
            conversation_id=self.conversation_id,
            message_id=f"{self.conversation_id}-{number}",
            message_content=f"message {number}" if random.random() < 0.97 else "",
            sender_id="somebody",
            sender_type=kind,
            timestamp=EPOCH + self._network.loop.now + random.uniform(-1, 1),
            metadata=Metadata(bot_id=bot),
        )

    async def _try(self, request: EnhancedMessageRequest) -> bool:
        """Send once; answer whether it was accepted, as far as is known."""
        random, loop = self._random, self._network.loop
        self._network.trace.note(loop.now, f"client sends {request.message_id}")
        ingress = self._home if random.random() < 0.8 else random.choice(self._ingresses)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                answer = await self._network.call(f"{ingress}/ingress", "post", request)
        except (PeerUnavailable, TimeoutError):
            answer = None
        name = request.message_id
        result: dict[str, Any] = answer["result"] if answer else {"status": "refused or unknown"}
        self._network.trace.note(loop.now, f"client {name}: {result['status']}")
        if answer is None:
            return False
        if result.get("job_id"):
            self.job_ids.append(result["job_id"])
        self._checker.answers.told(self.conversation_id, name, result)
        return True

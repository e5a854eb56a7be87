"""A steady load of messages, sent as webhook platforms do: in bursts, some twice, until taken."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from typing import Any

from tests.stack.ask import message
from tests.stack.stubs import Reply, Stubs
from tests.stack.traffic import Traffic

__all__ = ["Load"]

LIVE_CONVERSATIONS = 120
MESSAGES_PER_CONVERSATION = 25
"""After so many its place is taken by a new conversation."""
MAX_OUTSTANDING = 1_500
"""Callers that wait at the same time; above that no further messages are sent."""
GARBAGE: Reply = (200, b"<html>Bad gateway</html>", {"Content-Type": "application/json"})
REFUSAL: Reply = (429, {}, {"Retry-After": "1"})
FAILURE: Reply = (500, {}, {})


class Load:
    """Sends ``messages_per_second`` to one ingress of each cluster, from one seed."""

    def __init__(
        self, entrances: Sequence[Traffic], stubs: Stubs, messages_per_second: float, seed: int
    ) -> None:
        self._entrances = entrances
        self._stubs = stubs
        self._rate = messages_per_second
        self._random = random.Random(seed)
        self._live: list[tuple[str, int]] = []
        self._outstanding: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self.conversation_ids: list[str] = []
        self.sent = 0
        self.skipped = 0
        """What was not sent, since too many callers were waiting."""

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``, then wait until all that was sent is taken."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            due += self._random.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(self._outstanding) >= MAX_OUTSTANDING:
                self.skipped += 1
                continue
            self._send_one()
        await asyncio.gather(*self._outstanding)
        if self._errors:
            raise ExceptionGroup("messages were not taken", self._errors[:5])  # type: ignore[type-var]

    def accepted(self) -> dict[str, dict[str, Any]]:
        """Return the bodies that got a 200, by message id."""
        return {key: body for entrance in self._entrances for key, body in entrance.bodies.items()}

    def _send_one(self) -> None:
        conversation_id = self._next_conversation()
        self.sent += 1
        body = message(conversation_id, f"text {self.sent}")
        home = self._entrances[hash_of(conversation_id) % len(self._entrances)]
        entrance = home if self._random.random() < 0.8 else self._random.choice(self._entrances)
        self._start(entrance, body)
        if self._random.random() < 0.1:  # delivered twice, perhaps to the other cluster
            self._start(self._random.choice(self._entrances), body)

    def _next_conversation(self) -> str:
        if len(self._live) < LIVE_CONVERSATIONS:
            self._live.append((self._new_conversation(), MESSAGES_PER_CONVERSATION))
        index = self._random.randrange(len(self._live))
        if self._random.random() < 0.3:
            index = -1  # a burst: the youngest again
        conversation_id, left = self._live[index]
        if left <= 1:
            self._live.pop(index)
        else:
            self._live[index] = (conversation_id, left - 1)
        return conversation_id

    def _new_conversation(self) -> str:
        conversation_id = f"soak_{uuid.UUID(int=self._random.getrandbits(128)).hex}"
        self.conversation_ids.append(conversation_id)
        self._stubs.delay(conversation_id, self._random.choice((0.1, 0.3, 0.6, 1.2)))
        trouble = self._random.random()
        if trouble < 0.05:
            self._stubs.plan_ai(conversation_id, GARBAGE, FAILURE)
        elif trouble < 0.10:
            self._stubs.plan_ai(conversation_id, REFUSAL)
        elif trouble < 0.15:
            self._stubs.plan_platform(conversation_id, 503, 503)
        return conversation_id

    def _start(self, entrance: Traffic, body: dict[str, Any]) -> None:
        task = asyncio.create_task(self._send(entrance, body))
        self._outstanding.add(task)
        task.add_done_callback(self._outstanding.discard)

    async def _send(self, entrance: Traffic, body: dict[str, Any]) -> None:
        try:
            await entrance.send(body)
        except AssertionError as error:
            self._errors.append(error)


def hash_of(conversation_id: str) -> int:
    """Return a number that is the same in every run."""
    return int(conversation_id[-8:], 16)

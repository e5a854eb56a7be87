"""What a committed answer asks of the world: count an attempt, make it, write down how it ended."""

from __future__ import annotations

import random
import time

from actors.conversation.effects import CountDelivery, Deliver, RecordDelivery
from actors.conversation.events import (
    DeliveryCounted,
    DeliveryEnded,
    DeliveryRecorded,
    Event,
    Fate,
)
from actors.platform import delivery_backoff_seconds
from actors.resources import Resources
from actors.seat import Seat
from actors.turn_work import fate_of
from actors.writes import write
from storage.codec import Operation
from storage.delivery_records import DeliveryRecord, DeliveryResult, DeliveryStart
from storage.metrics import DEAD_LETTERS, DELIVERIES, DELIVERY_LATENCY

__all__ = ["DeliveryWork"]


class DeliveryWork:
    """Performs the effects of deliveries."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def count(self, seat: Seat, effect: CountDelivery) -> Event | None:
        """Count an attempt in the database before it is made, if one more is made (``deliver``)."""
        if effect.attempts >= self._resources.settings.delivery_max_attempts:
            return DeliveryCounted(effect.epoch, effect.job_id, Fate.DONE)
        operation = DeliveryStart(
            conversation_id=seat.conversation_id, epoch=effect.epoch, job_id=effect.job_id
        )
        fate = fate_of(await self._write(seat, operation))
        return None if fate is None else DeliveryCounted(effect.epoch, effect.job_id, fate)

    async def deliver(self, seat: Seat, effect: Deliver) -> Event | None:
        """Try once, unless the lease is not to be trusted any more when its turn has come."""
        resources = self._resources
        most = resources.settings.delivery_max_attempts
        if effect.attempts > most:  # counted, and never heard of: so its owners went each time
            error = f"{most} attempts were begun, and the last did not end"
            result = DeliveryResult.DEAD.value
            return DeliveryEnded(effect.epoch, effect.job_id, result, error=error)
        bot = resources.bots.get(effect.bot_id)
        async with resources.services.platform_slot(bot):
            if time.monotonic() >= seat.conversation.trusted_until:
                return None
            sent_at = time.monotonic()
            attempt = await resources.services.deliver(effect.job_id, effect.body, bot)
            seconds = time.monotonic() - sent_at
        DELIVERY_LATENCY.observe(seconds)
        seat.spend_elsewhere(effect.job_id, seconds)
        executed = attempt.actions_executed
        if executed is None:
            executed = effect.action_count if attempt.result is DeliveryResult.SENT else 0
        result = attempt.result
        if result is DeliveryResult.RETRY and effect.attempts >= most:
            result = DeliveryResult.DEAD
        DELIVERIES.add(result.value)
        pause = attempt.retry_after_seconds
        if pause is None:
            jitter = random.random()  # noqa: S311 -- spreads load, keeps no secret
            pause = delivery_backoff_seconds(effect.attempts, jitter)
        return DeliveryEnded(
            effect.epoch,
            effect.job_id,
            result.value,
            executed,
            time.monotonic() + pause,
            attempt.error,
        )

    async def record(self, seat: Seat, effect: RecordDelivery) -> Event | None:
        """Write down how an attempt ended."""
        operation = DeliveryRecord(
            conversation_id=seat.conversation_id,
            epoch=effect.epoch,
            job_id=effect.job_id,
            result=DeliveryResult(effect.result),
            actions_executed=effect.actions_executed,
            retry_in_seconds=max(0.0, effect.retry_at - time.monotonic()),
            error=effect.error,
        )
        fate = fate_of(await self._write(seat, operation))
        if fate is None:
            return None
        if fate is Fate.DONE and operation.result is DeliveryResult.DEAD:
            DEAD_LETTERS.add("delivery")
        return DeliveryRecorded(
            effect.epoch,
            effect.job_id,
            effect.result,
            fate,
            effect.actions_executed,
            effect.retry_at,
        )

    async def _write(self, seat: Seat, operation: Operation) -> object:
        conversation = seat.conversation
        return await write(self._resources.writer, operation, lambda: conversation.trusted_until)

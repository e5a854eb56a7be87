"""What a turn asks of the world: mark its messages, ask the AI, commit; or settle a message."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import msgspec

from actors.actions import Action, actions_json, send_message
from actors.ai import AiAnswer, AiCall, AiFailed, AiMessage
from actors.conversation import Message
from actors.conversation.effects import CallAi, CommitTurn, SettleMessage, StartTurn
from actors.conversation.events import (
    AiAnswered,
    Answer,
    Event,
    Fate,
    MessageSettled,
    TurnCommitted,
    TurnStarted,
)
from actors.conversation.events import AiFailed as AiFailedEvent
from actors.conversation.outbox import Delivery
from actors.host_load import HostLoad
from actors.platform import delivery_body
from actors.resources import Resources
from actors.seat import Seat
from actors.translation import context_json
from actors.trials import Trials
from actors.writes import write
from storage.codec import Operation
from storage.metrics import AI_ABANDONED, DEAD_LETTERS, FENCED_COMMITS, TURNS
from storage.records import FencedOutcome, JobStatus, LeaseKind
from storage.turn_records import MessageSettlement, TurnCommit, TurnStart

__all__ = ["TurnWork", "fate_of"]

HOLD_SECONDS = 0.25
MANY_BUSY = 10
"""Conversations with work, from which on a turn's start waits for its end."""

_encoder = msgspec.json.Encoder()


def fate_of(outcome: object) -> Fate | None:
    """Return how a fenced write ended, as the rules call it; None: nobody knows."""
    return Fate(outcome.value) if isinstance(outcome, FencedOutcome) else None


@dataclass(frozen=True, slots=True)
class _Said:
    """What a turn answers with."""

    actions: list[Action]
    ai_response: str | None
    answer: AiAnswer | None

    @property
    def valid(self) -> list[Action]:
        return [action for action in self.actions if action.is_valid]


class TurnWork:
    """Performs the effects of turns."""

    def __init__(self, resources: Resources, load: HostLoad) -> None:
        self._resources = resources
        self._load = load
        self.trials = Trials()

    async def start(self, seat: Seat, effect: StartTurn) -> Event | None:
        """Mark the turn's messages, after an earlier marking of the same conversation.

        Under load, what nothing waits for is held for a moment: if the turn ends meanwhile, its
        commit says it all, and a quarter of what a message costs in the database is saved.
        """
        seat.end_holding(is_needed=True)
        previous, seat.write_order = seat.write_order, asyncio.current_task()
        await _after(previous)
        if not effect.is_awaited and not await self._is_needed(seat):
            return None
        if effect.is_exclusive and not await self.trials.enter(seat, effect.job_id, effect.call):
            return None
        operation = TurnStart(
            conversation_id=seat.conversation_id,
            epoch=effect.epoch,
            job_id=effect.job_id,
            message_ids=list(effect.message_ids),
            superseded_job_ids=list(effect.superseded_job_ids),
            attempts=effect.attempts,
            owner_ttl_seconds=self._resources.lease_ttl_seconds,
        )
        fate = await self._write(seat, operation)
        return None if fate is None else TurnStarted(effect.job_id, effect.call, fate)

    async def _is_needed(self, seat: Seat) -> bool:
        """Wait a little, and return whether the turn is still under way then."""
        seat.turn_began_at = time.monotonic()
        if self._load.busy < MANY_BUSY:
            return True
        return await seat.hold(HOLD_SECONDS)

    async def call_ai(self, seat: Seat, effect: CallAi) -> Event:
        """Ask the AI; the task that does so is cancelled when the call is abandoned."""
        bot = self._resources.bots.get(effect.messages[-1].policy.bot_id)
        call = AiCall(
            conversation_id=seat.conversation_id,
            job_id=effect.job_id,
            messages=[_ai_message(message) for message in effect.messages],
            context=context_json(effect.context),
            bot=bot,
            metadata=next((m.metadata for m in reversed(effect.messages) if m.metadata), None),
            first_attempt=(effect.call - 1) * bot.ai_max_attempts + 1,
        )
        started_at = time.monotonic()
        try:
            answer = await self._resources.services.answer(call)
        except AiFailed as failure:
            return AiFailedEvent(effect.job_id, effect.call, failure.reason, str(failure))
        except asyncio.CancelledError:
            AI_ABANDONED.add()
            raise
        finally:
            seat.spend_elsewhere(effect.job_id, time.monotonic() - started_at)
        valid = {action.type for action in answer.actions if action.is_valid}
        return AiAnswered(
            effect.job_id,
            effect.call,
            Answer(
                answer.response_text,
                answer,
                transfers="transfer_to_agent" in valid,
                ends="end_conversation" in valid,
            ),
        )

    async def commit(self, seat: Seat, effect: CommitTurn) -> Event | None:
        """Write down how the turn ended."""
        was_held = seat.end_holding(is_needed=False)
        await _after(seat.write_order)
        said = _said(effect)
        message_ids = [message.message_id for message in effect.messages]
        body = None
        if said.valid:
            body = delivery_body(
                conversation_id=seat.conversation_id,
                ai_response=said.ai_response,
                actions=said.actions,
                timestamp=time.time(),
                lock_id=effect.lock_id,
                job_id=effect.job_id,
                message_ids=message_ids,
            )
        ago = time.monotonic() - seat.turn_began_at if was_held else 0.0
        record = self._commit_of(seat, effect, said, body, began_seconds_ago=ago)
        fate = await self._write(seat, record)
        if fate is None:
            return None
        _note_end(effect, fate)
        bot_id = effect.messages[0].policy.bot_id
        delivery = None
        if body is not None:
            delivery = Delivery(
                effect.job_id, bot_id, body, tuple(message_ids), action_count=len(said.valid)
            )
        result = None
        if said.answer is not None:
            extracted = record.extracted_actions
            result = f'"ai_response":{record.ai_response},"extracted_actions":{extracted}'
        return TurnCommitted(effect.job_id, effect.call, fate, delivery, result)

    def _commit_of(
        self,
        seat: Seat,
        effect: CommitTurn,
        said: _Said,
        body: str | None,
        *,
        began_seconds_ago: float,
    ) -> TurnCommit:
        answer = said.answer
        return TurnCommit(
            conversation_id=seat.conversation_id,
            epoch=effect.epoch,
            job_id=effect.job_id,
            status=JobStatus(effect.status),
            reason=effect.reason,
            message_ids=[message.message_id for message in effect.messages],
            first_position=effect.first_position,
            reply=effect.reply,
            conversation_status=effect.conversation_status,
            context_start=effect.context_start,
            owner=self._resources.owner,
            lock_id=effect.lock_id,
            lease_kind=LeaseKind(effect.kind.value),
            owner_ttl_seconds=self._resources.lease_ttl_seconds,
            bot_id=effect.messages[0].policy.bot_id,
            ai_response=said.ai_response if answer is not None else None,
            extracted_actions=actions_json(said.actions) if answer is not None else None,
            intent=answer.intent if answer is not None else None,
            confidence=answer.confidence if answer is not None else None,
            model_used=answer.model_used if answer is not None else None,
            ai_processing_time_ms=answer.processing_time_ms if answer is not None else None,
            actions=[action.to_record() for action in said.actions],
            delivery_body=body,
            delivering=effect.delivering and body is not None,
            attempts=effect.attempts,
            error=effect.error,
            began_seconds_ago=began_seconds_ago,
        )

    async def settle(self, seat: Seat, effect: SettleMessage) -> Event | None:
        """Write down the end of a message that no turn answers."""
        operation = MessageSettlement(
            conversation_id=seat.conversation_id,
            epoch=effect.epoch,
            message_id=effect.message.message_id,
            job_id=effect.message.job_id,
            status=JobStatus(effect.status),
            reason=effect.reason,
            position=effect.position,
        )
        fate = await self._write(seat, operation)
        return (
            None if fate is None else MessageSettled(effect.epoch, effect.message.message_id, fate)
        )

    async def _write(self, seat: Seat, operation: Operation) -> Fate | None:
        conversation, writer = seat.conversation, self._resources.writer
        return fate_of(await write(writer, operation, lambda: conversation.trusted_until))


async def _after(task: asyncio.Task[None] | None) -> None:
    """Wait until an earlier write of the conversation is decided."""
    if task is not None and task is not asyncio.current_task() and not task.done():
        await asyncio.wait([task])


def _ai_message(message: Message) -> AiMessage:
    return AiMessage(
        message_id=message.message_id,
        content=message.content,
        timestamp=message.timestamp,
        sender_id=message.sender_id,
        attachments=message.attachments,
    )


def _note_end(effect: CommitTurn, fate: Fate) -> None:
    if fate is Fate.FENCED:
        FENCED_COMMITS.add()
    elif fate is Fate.DONE:
        TURNS.add(effect.status)
        if effect.status == JobStatus.FAILED:
            DEAD_LETTERS.add("message")


def _said(effect: CommitTurn) -> _Said:
    if effect.answer is not None:
        answer = effect.answer.payload
        if not isinstance(answer, AiAnswer):
            raise TypeError(f"an answer is an AiAnswer, not {type(answer).__name__}")
        return _Said(answer.actions, answer.response_json(), answer)
    if effect.reply is None:
        return _Said([], None, None)
    spoken = AiAnswer(response_text=effect.reply)
    return _Said([send_message(effect.reply)], spoken.response_json(), None)

"""Bugs planted while a simulation runs, each of which the checker has to find.

Nothing of them is in the product: each replaces something of it, and puts it back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock

import actors.conversation.mailbox
from actors.activation import Activation
from actors.conversation import commits, conversation, delivery, staleness, turns
from actors.conversation.conversation import Conversation
from actors.conversation.events import AiAnswered, Claimed, Fate, TurnCommitted
from actors.delivery_work import DeliveryWork
from actors.resources import Resources
from actors.runner import Runner
from actors.sweeper import Sweeper
from actors.turn_work import TurnWork
from storage.claim_records import ClaimOutcome
from storage.records import Accepted, FencedOutcome, NewMessage
from tests.simulation import claiming
from tests.simulation.lease_store import LeaseStore
from tests.simulation.tables import Tables

__all__ = ["MUTATIONS"]

Mutation = Callable[[], AbstractContextManager[object]]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    """Add a mutation to the list."""
    MUTATIONS[function.__name__.replace("_", " ")] = function
    return function


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


@mutation
def database_without_its_epoch_check() -> AbstractContextManager[object]:
    return mock.patch.object(Tables, "is_current", _always(True))


@mutation
def claim_without_its_epoch_check() -> AbstractContextManager[object]:
    judged = claiming._judged

    def judge(row: Any, request: Any, now: float) -> Any:
        outcome = judged(row, request, now)
        return ClaimOutcome.CLAIMED if outcome is ClaimOutcome.STALE else outcome

    return mock.patch.object(claiming, "_judged", judge)


@mutation
def lease_without_its_trust_window() -> AbstractContextManager[object]:
    return mock.patch.object(Resources, "trusted_until", _always(math.inf))


@mutation
def database_without_deduplication() -> AbstractContextManager[object]:
    def accept(tables: Tables, message: NewMessage) -> Accepted:
        known = tables.stored(message)
        if known is not None:  # stored anew
            del tables.conversations[message.conversation_id].messages[known.message_id]
        return accept_as_it_is(tables, message)

    accept_as_it_is = Tables.accept
    return mock.patch.object(Tables, "accept", accept)


@mutation
def mailbox_in_reverse() -> AbstractContextManager[object]:
    return mock.patch.object(
        actors.conversation.mailbox, "_by_acceptance", lambda message: -message.seq
    )


@mutation
def delivery_before_its_commit() -> AbstractContextManager[object]:
    write = TurnWork._write

    async def write_too_late(work: TurnWork, seat: Any, operation: Any) -> Any:
        body = getattr(operation, "delivery_body", None)
        if body is not None:
            resources = work._resources
            bot = resources.bots.get(operation.bot_id)
            await resources.services.deliver(operation.job_id, body, bot)
        return await write(work, seat, operation)

    return mock.patch.object(TurnWork, "_write", write_too_late)


@mutation
def renewal_that_ignores_the_lock_id() -> AbstractContextManager[object]:
    return mock.patch.object(LeaseStore, "is_same_lock", _always(True))


@mutation
def another_body_at_each_attempt() -> AbstractContextManager[object]:
    deliver = DeliveryWork.deliver

    async def deliver_another(work: DeliveryWork, seat: Any, effect: Any) -> Any:
        if effect.attempts > 1:
            object.__setattr__(effect, "body", effect.body.replace("answer", "Answer"))
        return await deliver(work, seat, effect)

    return mock.patch.object(DeliveryWork, "deliver", deliver_another)


@mutation
def deliveries_that_overtake_each_other() -> AbstractContextManager[object]:
    first = delivery.restore

    def restore(conversation: Any, deliveries: Any, now: float) -> None:
        first(conversation, tuple(reversed(deliveries)), now)

    return mock.patch.object(delivery, "restore", restore)


@mutation
def answers_to_what_was_given_up() -> AbstractContextManager[object]:
    return mock.patch.object(conversation, "is_stale", _never_stale_but_once_over)


def _never_stale_but_once_over(it: Conversation, event: Any) -> bool:
    """Take the answer of an AI call that was abandoned for that of the present one."""
    if isinstance(event, AiAnswered | TurnCommitted):
        return it.turn is None
    return staleness.is_stale(it, event)


@mutation
def fence_that_is_ignored() -> AbstractContextManager[object]:
    write = TurnWork._write

    async def write_unfenced(work: TurnWork, seat: Any, operation: Any) -> Any:
        fate = await write(work, seat, operation)
        return Fate.DONE if fate is Fate.FENCED else fate

    return mock.patch.object(TurnWork, "_write", write_unfenced)


@mutation
def acceptance_before_it_is_stored() -> AbstractContextManager[object]:
    accept = Tables.accept

    def forget(tables: Tables, message: NewMessage) -> Accepted:
        answer = accept(tables, message)
        if answer.seq % 40 == 0:
            row = tables.conversations[message.conversation_id]
            row.messages.pop(answer.message_id, None)
        return answer

    return mock.patch.object(Tables, "accept", forget)


@mutation
def merged_jobs_that_lead_nowhere() -> AbstractContextManager[object]:
    start = TurnWork.start

    async def start_unmerged(work: TurnWork, seat: Any, effect: Any) -> Any:
        object.__setattr__(effect, "superseded_job_ids", ())
        return await start(work, seat, effect)

    return mock.patch.object(TurnWork, "start", start_unmerged)


@mutation
def nobody_sweeps() -> AbstractContextManager[object]:
    async def sleep(*_: object) -> None:
        await asyncio.sleep(3600)

    return mock.patch.object(Sweeper, "run", sleep)


@mutation
def claim_that_forgets_what_waits() -> AbstractContextManager[object]:
    claimed = Activation._claimed

    def empty(work: Activation, effect: Any, answer: Any, trusted_until: float) -> Any:
        event = claimed(work, effect, answer, trusted_until)
        if isinstance(event, Claimed):
            object.__setattr__(event, "deliveries", event.deliveries[1:])
        return event

    return mock.patch.object(Activation, "_claimed", empty)


@mutation
def unknown_commit_taken_for_done() -> AbstractContextManager[object]:
    async def write_once(work: TurnWork, seat: Any, operation: Any) -> Any:
        result = await work._resources.writer.call(operation)
        if isinstance(result, FencedOutcome):
            return Fate(result.value)
        return Fate.DONE

    return mock.patch.object(TurnWork, "_write", write_once)


@mutation
def two_turns_at_once() -> AbstractContextManager[object]:
    @contextmanager
    def patched() -> Iterator[None]:
        with ExitStack() as stack:
            # The turn is left as soon as its commit is issued, and the next one begins.
            stack.enter_context(mock.patch.object(commits, "commit", _commit_and_go_on))
            stack.enter_context(mock.patch.object(turns, "commit", _commit_and_go_on))
            yield

    return patched()


_commit = commits.commit


def _commit_and_go_on(it: Any, turn: Any, status: str, **details: Any) -> None:
    _commit(it, turn, status, **details)
    if it.mailbox:
        commits.end(it, it.idle_since)


@mutation
def timers_that_are_forgotten() -> AbstractContextManager[object]:
    return mock.patch.object(Runner, "_schedule", _always(None))

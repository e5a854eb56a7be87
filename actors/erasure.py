"""Letting go of what a host still has of conversations that were erased."""

from __future__ import annotations

from actors.conversation.events import LeaseLost
from actors.resources import Resources
from actors.runner import Runner

__all__ = ["forget_erased"]


def forget_erased(resources: Resources, runner: Runner, conversation_id: str) -> None:
    """Drop a conversation that is not in the database any more, and what is cached of it.

    One with its id may come anew at any time.
    """
    seat = runner.seats.get(conversation_id)
    if seat is not None and seat.conversation.lock_id:
        runner.dispatch(seat, LeaseLost(seat.conversation.lock_id))
    # One that has no lease holds nothing, and its claim will find nothing.
    runner.states.erase(conversation_id)
    resources.services.simulated_platform.erase(conversation_id)

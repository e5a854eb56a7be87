"""Why a conversation waits, in one word a reason."""

from __future__ import annotations

from typing import Literal, get_args

from actors.conversation import Limits
from storage.views import ConversationView

__all__ = ["WAITING_REASONS", "WaitingReason", "why_it_waits"]

WaitingReason = Literal[
    "ai", "running_turn", "owner", "no_owner", "delivery", "agent", "many_attempts"
]
WAITING_REASONS: tuple[WaitingReason, ...] = get_args(WaitingReason)
_TRIED_ALONE = Limits().isolated_attempts
"""From so many attempts on a message is tried alone, after a pause."""


def why_it_waits(conversation: ConversationView) -> list[WaitingReason]:
    """Return the reasons, the most telling first; none: there is nothing to do.

    ``ai``: the AI is being asked. ``running_turn``: messages come after the turn that runs.
    ``owner``: messages wait for their owner to begin. ``no_owner``: for one to take them.
    ``delivery``: the platform has not taken an answer yet. ``agent``: a person has it.
    ``many_attempts``: its owners went away in the middle of it.
    """
    has_owner = conversation.owner is not None
    found: dict[WaitingReason, bool] = {
        "no_owner": conversation.pending_messages > 0 and not has_owner,
        "many_attempts": conversation.pending_messages > 0
        and conversation.attempts >= _TRIED_ALONE,
        "ai": conversation.ai_processing,
        "running_turn": conversation.ai_processing and conversation.waiting_messages > 0,
        "owner": conversation.pending_messages > 0 and has_owner and not conversation.ai_processing,
        "delivery": conversation.undelivered_jobs > 0,
        "agent": conversation.status == "with_agent",
    }
    return [reason for reason, holds in found.items() if holds]

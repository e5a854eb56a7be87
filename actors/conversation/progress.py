"""What an owner does next, after every event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import settling, turns
from actors.conversation.effects import FetchPending
from actors.conversation.phase import Phase
from actors.conversation.tenure import passivate

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def advance(c: Conversation, now: float) -> None:
    """Go on with whatever waits, if nothing is under way.

    While the database is being asked for what it holds no turn starts, so that none is started
    ahead of an earlier message.
    """
    is_short = c.mailbox.is_torn or (c.mailbox.has_more and not c.mailbox)
    if c.fetching is None and (c.unconfirmed or is_short):
        _fetch(c)
    if c.fetching is not None:
        return
    if c.phase is Phase.DEBOUNCING:
        turns.gather(c, now)
    if c.phase is not Phase.IDLE:
        return
    if c.is_draining:
        if not (c.settling or c.outbox.is_moving):
            passivate(c)
        return
    settling.record_unanswerable(c)
    if c.mailbox and len(c.outbox) < c.limits.undelivered_jobs:
        turns.begin(c, now)
    elif c.is_quiet and now >= c.idle_since + c.limits.idle_seconds:
        passivate(c)


def _fetch(c: Conversation) -> None:
    c.fetching = tuple(dict.fromkeys((*c.unseen, *c.unconfirmed)))
    c.unseen, c.unconfirmed = (), {}
    c.mailbox.has_more = False
    c.fetch_attempt += 1
    c.emit(FetchPending(c.fetch_attempt))

"""The bounds within which a conversation works."""

from __future__ import annotations

from actors.conversation.value import value


@value
class Limits:
    """Limits of one conversation in memory; what exceeds them stays in the database."""

    turn_messages: int = 50
    turn_characters: int = 262_144
    """A turn takes no further message past this many characters, attachments and metadata among
    them (its first is always taken)."""
    waiting_messages: int = 200
    waiting_characters: int = 4_194_304
    """A mailbox takes no further message past this many characters, contexts among them."""
    newer_messages: int = 200
    """So many messages that came during a turn are named to its caller."""
    undelivered_jobs: int = 16
    """With so many answers on their way to the platform, no further turn starts."""
    restarts: int = 5
    restart_window_seconds: float = 60.0
    context_messages: int = 20
    remembered_messages: int = 1_000
    """How many finished message ids are remembered, to tell a late duplicate from a new message."""
    remembered_calls: int = 16
    """For how many jobs the number of their last AI call is remembered, to know late answers."""
    claim_attempts: int = 5
    """So many lost races for the epoch in a row, then a pause of ``retry_seconds``."""
    isolated_attempts: int = 3
    """From the so many-th owner on that begins without a turn committed since the first, a turn
    takes one message only, and its start is written down before the AI is asked."""
    attempts: int = 5
    """A message whose owner has gone so often while it was being answered is given up."""
    attempt_pause_seconds: float = 1.0
    """Before the first such turn; twice as long before each further one."""
    retry_seconds: float = 1.0
    lease_ttl_seconds: float = 30.0
    idle_seconds: float = 60.0
    """After so long without work the lease is released and the conversation forgotten."""

    @property
    def guard_seconds(self) -> float:
        """How long a write keeps those away who have no Redis; clocks may differ in speed."""
        return 0.9 * self.lease_ttl_seconds

"""What a bot's configuration means for the flow of a conversation."""

from __future__ import annotations

from enum import StrEnum

from actors.conversation.value import value


class BusyPolicy(StrEnum):
    """What becomes of a user's message while a turn is running."""

    MERGE = "merge"
    """All that wait become one next turn."""
    QUEUE = "queue"
    """Each that waits gets a turn of its own."""
    RESTART = "restart"
    """The running turn starts again with it."""
    REJECT = "reject"
    """It is marked rejected and not answered."""


@value
class Policy:
    """The settings of one bot that the rules need."""

    bot_id: str = "default"
    enabled: bool = True
    busy_policy: BusyPolicy = BusyPolicy.MERGE
    debounce_seconds: float = 0.0
    debounce_max_seconds: float = 0.0
    context_messages: int = 20
    fallback_message: str | None = None
    yield_to_agent: bool = True
    silent_after_transfer: bool = True
    handoff_timeout_seconds: float = 0.0
    """After so long without a message, a conversation that is with a person comes back to the bot;
    0: never."""

    @property
    def is_queue(self) -> bool:
        """Whether each waiting message gets a turn of its own."""
        return self.busy_policy is BusyPolicy.QUEUE

"""One run of the AI over one or more messages, under the job of the first."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.conversation.message import Line, Message
from actors.conversation.policy import Policy
from actors.conversation.value import value


@value
class Newer:
    """A user's message that came while the turn was running."""

    message_id: str
    timestamp: float
    job_id: str | None
    """The job that will answer it; None: it was rejected."""


@value
class Decision:
    """How a turn ends, if its commit is taken."""

    status: str
    """completed, failed or cancelled."""
    reason: str | None
    lines: tuple[Line, ...]
    """What the turn adds to the context."""
    position: int
    """Place in the context of the last of them."""
    conversation_status: str
    reply: str | None
    delivering: bool
    """Whether the first delivery attempt follows at once (and is counted by the commit)."""


@dataclass(slots=True)
class Turn:
    """A turn under way. ``messages`` are in order of acceptance."""

    job_id: str
    messages: list[Message]
    started_at: float
    call: int
    """Number of the AI call, raised at each restart; an answer to an older one is ignored."""
    restarts: int = 0
    """How often the AI call was started again with more messages."""
    is_yielding: bool = False
    """A person has answered: once its messages are marked, it ends as cancelled."""
    is_alone: bool = False
    """It is tried with one message, after owners have gone in the middle of it."""
    is_given_up: bool = False
    """They have gone too often: once that is marked, it ends as failed."""
    first_position: int | None = None
    """Place in the context of its first line, once that is taken."""
    newer: dict[str, Newer] = field(default_factory=dict)
    """By message id: a rejected one may be sent, and rejected, many times. The first of them."""
    most_newer: int = 200
    decision: Decision | None = None
    """What was decided, once its commit has been issued."""

    @property
    def policy(self) -> Policy:
        """The policy of the turn's bot, as its latest message brought it."""
        return self.messages[-1].policy

    @property
    def ordered(self) -> list[Message]:
        """The messages as the AI gets them: by the time they were written."""
        return sorted(self.messages, key=lambda message: (message.timestamp, message.seq))

    @property
    def superseded_job_ids(self) -> list[str]:
        """Jobs that this turn answers in place of their own."""
        return [m.job_id for m in self.messages if m.job_id != self.job_id]

    @property
    def own_context(self) -> tuple[Line, ...] | None:
        """The context that the latest message to bring one brought, if any did."""
        return next((m.context for m in reversed(self.messages) if m.context is not None), None)

    def note_newer(self, message: Message, job_id: str | None) -> None:
        """Note a message that came while the turn was running, and the job that answers it."""
        if len(self.newer) >= self.most_newer and message.message_id not in self.newer:
            return
        self.newer[message.message_id] = Newer(message.message_id, message.timestamp, job_id)

    def holds(self, message_id: str) -> bool:
        """Whether the message is answered by this turn."""
        return any(message.message_id == message_id for message in self.messages)

"""What people wrote, and what was said before."""

from __future__ import annotations

from actors.conversation.policy import Policy
from actors.conversation.value import value

ROLES = {"user": "user", "agent": "assistant", "bot": "assistant", "system": "system"}
"""Who speaks in the context, by sender type."""


@value
class Line:
    """One line of the context."""

    role: str
    content: str


@value
class Message:
    """A stored message, with the policy of its bot as it was when it reached the host."""

    message_id: str
    job_id: str
    seq: int
    """Order of acceptance."""
    sender_type: str
    sender_id: str
    content: str
    timestamp: float
    """When it was written, by the platform's clock: Unix seconds."""
    accepted_at: float
    """When it was stored, by the database's clock: Unix seconds."""
    policy: Policy
    metadata: str | None = None
    attachments: str | None = None
    context: tuple[Line, ...] | None = None
    """Context to use in place of the stored one."""
    turn_job_id: str | None = None
    """The turn that an earlier owner put it into, and did not finish."""
    context_characters: int = 0
    """How long the context is that it brings."""
    previous_seq: int = 0
    """The message of the conversation that was accepted before it; 0: none, or not known."""

    @property
    def is_from_user(self) -> bool:
        """Whether it may be answered at all."""
        return self.sender_type == "user"

    @property
    def is_empty(self) -> bool:
        """Whether it carries neither text nor attachments."""
        return not self.content and not self.attachments

    @property
    def characters(self) -> int:
        """How long it is, with all that it brings."""
        return len(self.content) + len(self.attachments or "") + len(self.metadata or "")

    @property
    def weight(self) -> int:
        """How many characters it keeps in memory."""
        return self.characters + self.context_characters

    @property
    def line(self) -> Line:
        """It as a line of the context."""
        return Line(ROLES[self.sender_type], self.content)

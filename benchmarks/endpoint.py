"""Where messages are sent to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self
from urllib.parse import urlsplit

__all__ = ["CHAT_PATH", "MESSAGE_PATH", "Endpoint"]

MESSAGE_PATH = "/api/v1/enhanced-handle-message"
CHAT_PATH = "/api/v1/chat/message"
CHAT_STATUSES = frozenset({"ai_processing_started", "locked"})


@dataclass(frozen=True)
class Endpoint:
    """One path of a running system, and which of its answers count."""

    name: str
    url: str
    token: str = "none"  # noqa: S105 - for those who ask for none
    kind: Literal["message", "chat"] = "message"
    statuses: frozenset[str] = frozenset({"completed"})

    @property
    def address(self) -> tuple[tuple[str, int], str]:
        """Host and port, and the path there."""
        parts = urlsplit(self.url)
        return (parts.hostname or "", parts.port or 80), parts.path

    def accepting(self) -> Self:
        """Return the asynchronous endpoint of the same system: it answers when it has stored."""
        url = self.url.removesuffix(MESSAGE_PATH) + CHAT_PATH
        return replace(self, url=url, kind="chat", statuses=CHAT_STATUSES)

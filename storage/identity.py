"""Which message a message is: digests that hold for a while, and parts that are held already.

Nothing here touches the database; ``storage.accept`` reads what is asked for and writes the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["DIGEST_WINDOW_SECONDS", "Held", "next_generation"]

DIGEST_WINDOW_SECONDS = 60.0
"""How long a digest holds after its message was accepted, even when its job is final."""


def next_generation(digest: str, latest_message_id: str | None) -> str:
    """Return the id for the next message with ``digest``: the digest, then ``.2``, ``.3``, ..."""
    if latest_message_id is None:
        return digest
    number = latest_message_id.removeprefix(digest).removeprefix(".")
    return f"{digest}.{int(number or 1) + 1}"


@dataclass
class Held:
    """The parts that the pending messages of one conversation hold."""

    _holders: dict[str, list[int]] = field(default_factory=dict)
    _message_ids: list[str] = field(default_factory=list)

    def add(self, message_id: str, parts: list[str]) -> None:
        """Count the parts of one more pending message, in order of acceptance."""
        order = len(self._message_ids)
        self._message_ids.append(message_id)
        for part in parts:
            self._holders.setdefault(part, []).append(order)

    def split(self, parts: list[str]) -> tuple[list[str], str | None]:
        """Return the parts that are not held, and the last message that holds one of the others.

        A part that is held once is dropped once: the second of two equal parts is kept then.
        """
        used: dict[str, int] = {}
        kept: list[str] = []
        last = -1
        for part in parts:
            holders = self._holders.get(part, [])
            count = used.get(part, 0)
            if count < len(holders):
                used[part] = count + 1
                last = max(last, holders[count])
            else:
                kept.append(part)
        return kept, self._message_ids[last] if last >= 0 else None

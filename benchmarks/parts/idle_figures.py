"""What is measured of a host full of idle conversations, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FEW", "LEASE_SECONDS", "IdleFigures"]

FEW = 1_000
"""Conversations that get the messages which are measured."""
LEASE_SECONDS = 30.0
"""The usual time of a lease."""


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """What was measured; processor time is the host's process's."""

    conversations: int
    loaded_per_second: float
    bytes_each: float
    empty_message_us: float
    full_message_us: float

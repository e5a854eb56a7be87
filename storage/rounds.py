"""Parting a batch so that no part names one key twice: each part is one statement."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

from storage.codec import OperationKind
from storage.turn_records import MessageSettlement

__all__ = ["rounds"]

Item = TypeVar("Item")


def _key(kind: OperationKind, item: Any) -> Hashable:
    if isinstance(item, MessageSettlement):
        return item.conversation_id, item.message_id
    key: str = item.job_id if kind is OperationKind.ACCEPT else item.conversation_id
    return key


def rounds(kind: OperationKind, items: list[Item]) -> list[list[int]]:
    """Group the places of ``items`` so that no group has two with the same key."""
    parts: list[list[int]] = []
    seen: dict[Hashable, int] = {}
    for place, item in enumerate(items):
        key = _key(kind, item)
        number = seen.get(key, 0)
        seen[key] = number + 1
        if number == len(parts):
            parts.append([])
        parts[number].append(place)
    return parts

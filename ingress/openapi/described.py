"""What is said of an operation beyond what its route tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

__all__ = ["Described"]


@dataclass(frozen=True, slots=True)
class Described:
    """One operation for a reader, with the models that check what it takes."""

    name: str
    """The ``operationId``: what a generated client calls the function."""
    tag: str
    summary: str
    answer: type[BaseModel] | None = None
    """Of a 200; None: no JSON."""
    text: str = ""
    takes: type[BaseModel] | None = None
    takes_example: Any = None
    answer_examples: dict[str, Any] | None = None
    query: type[BaseModel] | None = None
    media_type: str = "application/json"
    other_answers: tuple[int, ...] = ()
    """Further statuses that have the same body as the 200."""
    has_idempotency_key: bool = False
    is_signed: bool = False
    """Whether it is a webhook that may have to be signed."""
    leads_to: dict[str, str] | None = None
    """Which operations (by their names) may follow, and where in the answer the id for them is."""

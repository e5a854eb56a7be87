"""Guards of the product that can be taken out, to see whether the suite notices."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["MUTATED", "MUTATIONS", "mutate"]

MUTATIONS = ("no_epoch_check", "no_trust_window", "no_dedupe")
MUTATED = frozenset({"storage.postgres", "actors.resources"})
"""Modules that mutations change."""

_EPOCH_CHECK = "when o.epoch is distinct from i.epoch then 'fenced'"
_DEDUPE = "on conflict (conversation_id, message_id) do nothing"
_FOR_EVER_SECONDS = 1e6


def mutate(mutation: str, module: ModuleType) -> None:
    """Apply a mutation to a module that was imported just now, if it is about that module."""
    if mutation not in MUTATIONS:
        raise ValueError(f"no such mutation: {mutation}")
    if mutation == "no_epoch_check" and module.__name__ == "storage.postgres":
        _without(module, "turns", _EPOCH_CHECK)
    elif mutation == "no_dedupe" and module.__name__ == "storage.postgres":
        _without(module, "accept", _DEDUPE)
    elif mutation == "no_trust_window" and module.__name__ == "actors.resources":
        module.Resources.trusted_until = _trust_for_ever


def _without(module: ModuleType, name: str, text: str) -> None:
    """Let the statements of one file be read without a piece of them."""
    read: Any = module.queries

    def queries(wanted: str) -> Mapping[str, str]:
        found: Mapping[str, str] = read(wanted)
        if wanted != name:
            return found
        if not any(text in sql for sql in found.values()):
            raise ValueError(f"{name}.sql has changed: it has no {text!r}")
        return {key: sql.replace(text, "") for key, sql in found.items()}

    module.queries = queries  # type: ignore[attr-defined]


def _trust_for_ever(_resources: object, sent_at: float) -> float:
    return sent_at + _FOR_EVER_SECONDS

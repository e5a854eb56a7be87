"""Guards of the product that can be taken out, to see whether the suite notices.

A mutation works while its file is in the control folder; without it everything is as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.stack.fault_points.points import FOLDER_VARIABLE, MUTATED

__all__ = ["MUTATIONS", "MUTATIONS_OF"]

MUTATIONS = ("no_epoch_check", "no_trust_window", "no_dedupe")

_EPOCH_CHECK = "when o.epoch is distinct from i.epoch then 'fenced'"
_DEDUPE = "on conflict (conversation_id, message_id) do nothing"
_FOR_EVER_SECONDS = 1e6


def _is_on(mutation: str) -> bool:
    return (Path(os.environ[FOLDER_VARIABLE]) / MUTATED / mutation).exists()


class _Statements(Mapping[str, str]):
    """The statements of a file, without a piece of them while a mutation is on."""

    def __init__(self, whole: Mapping[str, str], mutation: str, piece: str) -> None:
        if not any(piece in sql for sql in whole.values()):
            raise ValueError(f"{mutation}: the statements have changed, {piece!r} is gone")
        self._whole = whole
        self._mutation = mutation
        self._piece = piece

    def __getitem__(self, name: str) -> str:
        sql = self._whole[name]
        return sql.replace(self._piece, "") if _is_on(self._mutation) else sql

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


def _postgres(module: ModuleType) -> None:
    read: Callable[[str], Mapping[str, str]] = module.queries

    @wraps(read)
    def queries(name: str) -> Mapping[str, str]:
        found = read(name)
        if name == "turns":
            return _Statements(found, "no_epoch_check", _EPOCH_CHECK)
        if name == "accept":
            return _Statements(found, "no_dedupe", _DEDUPE)
        return found

    module.queries = queries  # type: ignore[attr-defined]


def _resources(module: ModuleType) -> None:
    trusted_until = module.Resources.trusted_until

    @wraps(trusted_until)
    def until(self: Any, sent_at: float) -> float:
        if _is_on("no_trust_window"):
            return sent_at + _FOR_EVER_SECONDS
        moment: float = trusted_until(self, sent_at)
        return moment

    module.Resources.trusted_until = until


MUTATIONS_OF: dict[str, Callable[[ModuleType], None]] = {
    "storage.postgres": _postgres,
    "actors.resources": _resources,
}
"""What makes a module ready for its mutations."""

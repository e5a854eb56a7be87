"""How likely what goes wrong is at the moment; faults change it, and in the end it is fine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Weather"]


@dataclass
class Weather:
    """Probabilities (0 to 1) and states of what is outside of the processes."""

    # Calls between processes, from the first attempt to the last.
    call_lost: float = 0.0
    """The other side never hears of it, and the caller gets an error."""
    answer_lost: float = 0.0
    """It is done, and the caller gets an error."""
    call_late: float = 0.0
    call_twice: float = 0.0
    # The database.
    database_is_down: bool = False
    database_is_mute: bool = False
    """It takes connections and never answers."""
    database_refuses: float = 0.0
    database_unknown: float = 0.0
    """Done, not done, or done later: the caller gets an error."""
    database_late: float = 0.0
    database_conflict: float = 0.0
    # Redis.
    redis_is_down: bool = False
    redis_latency_seconds: float = 0.0
    redis_answer_lost: float = 0.0
    redis_unreachable_from: set[str] = field(default_factory=set)
    """Processes (``cluster/name``) from which nothing gets through."""
    # The AI and the platform.
    ai_fails: float = 0.0
    platform_fails: float = 0.0
    platform_is_down: bool = False
    # Between processes: pairs that do not reach each other.
    cuts: set[frozenset[str]] = field(default_factory=set)

    injected: Counter[str] = field(default_factory=Counter)
    """What was done to the cluster so far, by kind."""

    def clear(self) -> None:
        """Let everything work again, once and for all."""
        fresh = Weather(injected=self.injected)
        self.__dict__.update(fresh.__dict__)

    def inject(self, kind: str) -> None:
        """Count a fault."""
        self.injected[kind] += 1

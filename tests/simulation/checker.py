"""What must never happen, looked at from outside of the product while it happens."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.answers import Answers
from tests.simulation.deliveries import Deliveries
from tests.simulation.leases import Leases
from tests.simulation.turns import Turns

__all__ = ["Checker"]

MOST_VIOLATIONS = 20


class Checker:
    """Keeps books of its own; it believes neither the hosts nor the tables."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.violations: list[str] = []
        self._now = now
        self.leases = Leases(now)
        self.turns = Turns(now, self.report, self.leases)
        self.deliveries = Deliveries(now, self.report, self.turns, self.leases)
        self.answers = Answers(self.report)

    def report(self, rule: str, details: object) -> None:
        """Note that a rule was broken."""
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(f"{rule}: {details} (at {self._now():.3f} s)")

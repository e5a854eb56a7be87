"""Whether the checker finds a planted bug, and after how many seeds."""

from __future__ import annotations

from tests.simulation.mutations import MUTATIONS
from tests.simulation.simulation import Result, simulate

__all__ = ["find"]


def find(name: str, seeds: int) -> tuple[str, Result | None]:
    """Return the first seed that finds a planted bug."""
    with MUTATIONS[name]():
        for seed in range(seeds):
            result = simulate(seed)
            if result.violations:
                return name, result
    return name, None

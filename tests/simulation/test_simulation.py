"""Some seeds of the simulation; ``make simulate`` runs thousands."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS
from tests.simulation.simulation import simulate

ROOT = Path(__file__).parents[2]
SEEDS = range(40)
REPLAYED = 7


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """Each simulation ends with a collection, which need not look at all that pytest has."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_is_done_twice_whatever_breaks() -> None:
    results = [simulate(seed) for seed in SEEDS]
    assert [it.violations for it in results if it.violations] == []
    assert sum(it.turns for it in results) > 5 * len(SEEDS)
    assert sum(it.faults.total() for it in results) > 5 * len(SEEDS)


@pytest.mark.timeout(180)
def test_a_seed_replays_exactly() -> None:
    first, again = simulate(REPLAYED), simulate(REPLAYED, keeps_trace=True)
    assert first.digest == again.digest
    assert again.lines
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(REPLAYED)]
    runs = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        "delivery before its commit",
        "database without deduplication",
        "mailbox in reverse",
        "claim without its epoch check",
    ],
)
def test_a_planted_bug_is_found(name: str) -> None:
    with MUTATIONS[name]():
        assert any(simulate(seed).violations for seed in range(40))

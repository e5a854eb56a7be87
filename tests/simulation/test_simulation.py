"""Some seeds of the simulation; ``make simulate`` runs thousands."""

from __future__ import annotations

import gc
import os
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


@pytest.mark.timeout(120)
def test_a_seed_replays_exactly_in_this_process_and_in_another() -> None:
    here = [simulate(REPLAYED, keeps_trace=keeps_trace) for keeps_trace in (False, True)]
    assert here[0].digest == here[1].digest
    command = (
        f"from tests.simulation.simulation import simulate; print(simulate({REPLAYED}).digest)"
    )
    other = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(other.stdout) == here[0].digest


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

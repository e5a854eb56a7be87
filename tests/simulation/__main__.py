"""``python -m tests.simulation``: many seeds, one seed with its trace, or planted bugs."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context

from ingress.terminal.progress import ProgressBar
from tests.simulation.mutations import MUTATIONS
from tests.simulation.planting import find
from tests.simulation.simulation import Result, simulate

CHUNK = 20
HASH_SEED = "0"
"""The order of sets must not differ from one process to the next."""


def main() -> int:
    """Run what the arguments ask for; 1 where something was found that should not be."""
    arguments = _arguments()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(  # noqa: S606 -- this very program again
            sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        )
    gc.freeze()  # what is imported is not looked through again after every seed
    if arguments.seed is not None:
        return _replay(arguments.seed)
    if arguments.mutations:
        return _plant(arguments.seeds, arguments.processes)
    return _run_many(range(arguments.first, arguments.first + arguments.seeds), arguments.processes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its trace")
    parser.add_argument("--mutations", action="store_true", help="plant bugs, see when each shows")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _replay(seed: int) -> int:
    result = simulate(seed, keeps_trace=True)
    print("\n".join(result.lines))
    print(
        f"seed {seed}: {result.simulated_seconds:.1f} simulated seconds, "
        f"{result.messages} messages, {result.turns} turns, trace {result.digest:08x}"
    )
    _print_violations(result)
    return int(bool(result.violations))


def _run_many(seeds: range, processes: int) -> int:
    started = time.monotonic()
    faults: Counter[str] = Counter()
    hours = cpu_seconds = slowest = 0.0
    messages = turns = failed = 0
    for result in _with_progress(_results(seeds, processes), len(seeds)):
        faults += result.faults
        hours += result.simulated_seconds / 3600
        cpu_seconds += result.cpu_seconds
        slowest = max(slowest, result.settle_seconds)
        messages += result.messages
        turns += result.turns
        failed += bool(result.violations)
        _print_violations(result)
    print(f"faults injected: {faults.total()}")
    for kind, count in sorted(faults.items()):
        print(f"  {count:9}  {kind}")
    print(
        f"{len(seeds)} seeds: {hours:.1f} simulated hours, {messages} messages, {turns} turns; "
        f"settled after {slowest:.1f} s at the latest; "
        f"{1000 * cpu_seconds / max(1, len(seeds)):.0f} ms of CPU a seed, "
        f"{time.monotonic() - started:.0f} s in all"
    )
    print(f"violations: {failed} seeds")
    return int(failed > 0)


def _with_progress(results: Iterator[Result], total: int) -> Iterator[Result]:
    with ProgressBar("Seeds", total) as bar:
        for result in results:
            yield result
            bar.advance()


def _print_violations(result: Result) -> None:
    for violation in result.violations:
        print(f"VIOLATION in seed {result.seed}: {violation}")
    if result.violations:
        print(f"  replay it: make simulate SEED={result.seed}", flush=True)


def _results(seeds: range, processes: int) -> Iterator[Result]:
    if processes <= 1:
        yield from map(simulate, seeds)
        return
    with get_context("spawn").Pool(processes, gc.freeze) as pool:
        yield from pool.imap_unordered(simulate, seeds, CHUNK)


def _plant(seeds: int, processes: int) -> int:
    missed = 0
    with get_context("spawn").Pool(processes, gc.freeze) as pool:
        for name, found in pool.imap(partial(find, seeds=seeds), MUTATIONS):
            missed += found is None
            said = "NOT FOUND" if found is None else f"seed {found.seed}: {found.violations[0]}"
            print(f"{name}: {said}"[:200], flush=True)
    print(f"{len(MUTATIONS)} planted bugs, {missed} not found within {seeds} seeds")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

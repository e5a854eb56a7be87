"""How often a process looks for cycles of garbage."""

from __future__ import annotations

import gc

__all__ = ["relax_garbage_collection"]

YOUNG_OBJECTS = 25_000
YOUNG_ROUNDS = 20
OLD_ROUNDS = 20


def relax_garbage_collection() -> None:
    """Look for cycles less often, and never among what the modules are made of.

    Hundreds of turns under way are tens of thousands of objects that all are still needed: with
    Python's defaults a tenth of the processor's time goes into finding that out again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_ROUNDS, OLD_ROUNDS)

"""When the requests of an open loop are due: fixed in advance, whatever becomes of them."""

from __future__ import annotations

import random

__all__ = ["arrival_times"]


def arrival_times(per_second: float, seconds: float, seed: int = 1) -> list[float]:
    """Return the seconds after the start at which requests are due, in order.

    People do not wait for one another: the gaps are exponential, so some come close together. The
    same arguments give the same times.
    """
    gaps = random.Random(seed)
    times: list[float] = []
    now = gaps.expovariate(per_second)
    while now < seconds:
        times.append(now)
        now += gaps.expovariate(per_second)
    return times

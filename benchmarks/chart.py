"""The chart of throughput, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.result import Curve

__all__ = ["draw_chart"]


def draw_chart(curves: Sequence[Curve], path: Path) -> None:
    """Draw requests a second by requests in flight."""
    # Here, because it takes a second, and components are measured without it.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "throughput"  # the same figures make the same file
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        places, values = zip(*sorted(curve.points), strict=True)
        axes.plot(places, values, marker="o", label=curve.name)
    axes.set_xscale("log", base=2)
    ticks = sorted({place for curve in curves for place, _ in curve.points})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("requests in flight")
    axes.set_ylabel("requests a second")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})

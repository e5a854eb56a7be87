"""Random faults on the real stack, at a steady load; then the checker, then a report.

``make soak`` runs it; ``python -m tests.soak --help`` lists what can be chosen.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.soak.run import Plan, run

MINUTES = 20.0


def main() -> None:
    """Run one soak; end with an error if anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of faults")
    parser.add_argument("--seed", type=int, default=1, help="of the load and the faults")
    parser.add_argument("--rate", type=float, default=12.0, help="messages a second")
    parser.add_argument("--clusters", type=int, default=2, choices=(1, 2))
    parser.add_argument("--only", default="", help="faults whose names hold this")
    parser.add_argument("--report", type=Path, help="write the report here as well")
    chosen = parser.parse_args()
    plan = Plan(chosen.seed, chosen.minutes * 60, chosen.rate, chosen.clusters, chosen.only)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        report = run(plan, Path(directory)).markdown()
    print(report)
    if chosen.report is not None:
        chosen.report.write_text(report + "\n")


if __name__ == "__main__":
    main()

"""The command line: ``python -m benchmarks [--quick] [--only NAME] [--set NAME=VALUE]``."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import parts
from benchmarks.machine import describe_machine
from benchmarks.measurements import MEASUREMENTS
from benchmarks.report import Report
from benchmarks.result import Measurement
from benchmarks.run import Run

HERE = Path(__file__).parent
ALL_PARTS = "parts"
"""Stands for every component by itself."""
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main() -> int:
    """Measure, show and write down; return the exit code: 1 if a measurement could not be made."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    _allow_many_connections()
    only = set(arguments.only)
    if ALL_PARTS in only:
        only |= {it.name for it in parts.MEASUREMENTS}
    chosen = [it for it in MEASUREMENTS if not only or it.name in only]
    report = Report(describe_machine(), is_quick=arguments.quick)
    output: Path | None = arguments.output or (None if arguments.only else HERE)
    settings = dict(it.split("=", 1) for it in arguments.set)
    try:
        with Run(arguments.quick, settings, arguments.rounds) as run:
            _measure_all(chosen, run, report, output)
    except KeyboardInterrupt:
        print(report.as_text())
        print("Interrupted; everything is stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(report.as_text())
    return EXIT_FAILED if report.failures else 0


def _measure_all(
    chosen: Sequence[Measurement], run: Run, report: Report, output: Path | None
) -> None:
    report.failures = {it.name: "the run was ended before it" for it in chosen}
    for number, measurement in enumerate(chosen, start=1):
        run.say(f"{number}/{len(chosen)} {measurement.name}: {measurement.title}")
        try:
            report.add(measurement, measurement.measure(run))
        except Exception as error:
            traceback.print_exc()
            report.add_failure(measurement, error)
        report.seconds = run.elapsed_seconds
        if output:
            report.write(output)  # each time: what is measured stays, whatever comes next


def _arguments() -> argparse.Namespace:
    names = [*(it.name for it in MEASUREMENTS), ALL_PARTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=names,
        help="this one (may be repeated); writes no file",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the product"
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured (2; quick: 1)")
    parser.add_argument("--output", type=Path, help="folder for RESULTS.md and the chart")
    return parser.parse_args()


def _allow_many_connections() -> None:
    """Let what is started here have as many open files as this user may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

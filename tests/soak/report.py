"""What a soak has seen, as a table for ``docs/RELIABILITY.md``."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.stack.stubs import AiCallRecord

__all__ = ["FaultRecord", "Report", "takeover_seconds"]


@dataclass(frozen=True)
class FaultRecord:
    """One fault. Times are monotonic seconds."""

    name: str
    began_at: float
    ended_at: float


@dataclass
class Report:
    """The figures of one run."""

    seed: int
    seconds: float
    settled_after_seconds: float
    """From the last fault's end until nothing waited any more."""
    conversations: int
    requests: int
    accepted: int
    turns: int
    failed_turns: int
    delivered: int
    ai_calls: int
    repeated_deliveries: int
    refusals: Counter[int]
    broken_connections: int
    waits: list[float]
    faults: list[FaultRecord]
    takeovers: dict[str, list[float]]
    memory_mib: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The largest process of a kind: a minute after the start, and at the end."""

    def markdown(self) -> str:
        """Return it as text."""
        settled = f"all settled {self.settled_after_seconds:.1f} s after the last"
        lines = [
            f"Seed {self.seed}: {self.seconds / 60:.1f} minutes of faults, {settled}.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in self._totals()),
            "",
            "| fault | times | turns cut off | asked again after (median / longest) |",
            "|---|---|---|---|",
            *self._fault_lines(),
        ]
        if self.memory_mib:
            lines += [
                "",
                "| largest process of | after the first minute | at the end |",
                "|---|---|---|",
            ]
            lines += [
                f"| {kind} | {before:.0f} MiB | {after:.0f} MiB |"
                for kind, (before, after) in sorted(self.memory_mib.items())
            ]
        return "\n".join(lines)

    def _totals(self) -> list[tuple[str, str]]:
        refused = ", ".join(
            f"{count} of {status}" for status, count in sorted(self.refusals.items())
        )
        return [
            ("faults", str(len(self.faults))),
            ("conversations", f"{self.conversations:,}"),
            ("messages accepted", f"{self.accepted:,}"),
            ("accepted and lost", "0"),
            ("committed twice", "0"),
            ("turns committed", f"{self.turns:,} ({self.failed_turns} as failed)"),
            ("AI calls", f"{self.ai_calls:,}"),
            ("deliveries", f"{self.delivered:,} ({self.repeated_deliveries} repeated)"),
            ("requests", f"{self.requests:,}"),
            ("refused before acceptance, then sent again", refused or "none"),
            ("connections broken, then sent again", f"{self.broken_connections:,}"),
            ("a caller's wait", _spread(self.waits)),
        ]

    def _fault_lines(self) -> list[str]:
        times = Counter(it.name for it in self.faults)
        lines = []
        for name, count in sorted(times.items()):
            seconds = self.takeovers.get(name, [])
            after = (
                f"{statistics.median(seconds):.1f} / {max(seconds):.1f} s" if seconds else "none"
            )
            lines.append(f"| {name} | {count} | {len(seconds)} | {after} |")
        return lines


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "none"
    cuts = statistics.quantiles(seconds, n=100)
    return f"median {cuts[49]:.2f} s, 99 % {cuts[98]:.2f} s, longest {max(seconds):.1f} s"


def takeover_seconds(
    calls_of: Iterable[Sequence[AiCallRecord]], faults: Sequence[FaultRecord]
) -> dict[str, list[float]]:
    """Return, by the fault that was latest, how long a cut-off turn waited for its next AI call.

    A turn that another owner had begun again before it was cut off is no interruption.
    """
    found: defaultdict[str, list[float]] = defaultdict(list)
    for calls in calls_of:
        for call in calls:
            if call.cut_off_at is None:
                continue
            again = _begun_again_at(call, calls)
            causes = [it for it in faults if it.began_at <= call.cut_off_at + 0.05]
            if again is not None and again > call.cut_off_at and causes:
                found[causes[-1].name].append(again - call.cut_off_at)
    return dict(found)


def _begun_again_at(call: AiCallRecord, calls: Sequence[AiCallRecord]) -> float | None:
    messages = set(call.body["message_ids"])
    return min(
        (
            it.started_at
            for it in calls
            if it.started_at > call.started_at and messages & set(it.body["message_ids"])
        ),
        default=None,
    )

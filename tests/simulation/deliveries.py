"""The rules of deliveries: of what is committed, in order, one key and one body a job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import orjson

from storage.records import JobStatus
from tests.simulation.leases import Leases
from tests.simulation.process import Process
from tests.simulation.turns import Turns

__all__ = ["Deliveries"]


class Deliveries:
    """What the platform is sent, and what it gets."""

    def __init__(
        self,
        now: Callable[[], float],
        report: Callable[[str, object], None],
        turns: Turns,
        leases: Leases,
    ) -> None:
        self._now = now
        self._report = report
        self._turns = turns
        self._leases = leases
        self._bodies: dict[str, str] = {}
        self._cancelled: set[str] = set()
        self.received: defaultdict[str, list[str]] = defaultdict(list)
        """Jobs in the order in which the platform first got them, by conversation."""

    def cancelled(self, job_id: str) -> None:
        """A delivery was cancelled before its first attempt."""
        self._cancelled.add(job_id)

    def sent(self, process: Process | None, key: str, body: str) -> None:
        """A host begins to send."""
        commit = self._turns.by_job.get(key)
        document = orjson.loads(body)
        conversation_id, job_id = document["conversation_id"], document["job_id"]
        if commit is None:
            self._report("nothing is delivered that is not committed", key)
        elif commit.body != body or commit.status is JobStatus.CANCELLED:
            self._report("what is delivered is what was committed", key)
        if job_id != key:
            self._report("one key a job", f"{key} for {job_id}")
        if self._bodies.setdefault(key, body) != body:
            self._report("one key, one body", key)
        if key in self._cancelled:
            self._report("a cancelled delivery is not made", key)
        if process is not None and not self._leases.is_trusted(conversation_id, process.owner):
            self._report("nothing is sent without trust in the lease", f"{key} by {process}")

    def arrived(self, key: str, body: str) -> None:
        """The platform took a delivery."""
        conversation_id = orjson.loads(body)["conversation_id"]
        jobs = self.received[conversation_id]
        if key not in jobs:
            jobs.append(key)

    def check_order(self) -> None:
        """Check that what the platform got first came in the order of the commits."""
        for conversation_id, jobs in self.received.items():
            order = [it.job_id for it in self._turns.commits_of(conversation_id)]
            if jobs != [job_id for job_id in order if job_id in jobs]:
                self._report("deliveries in order of commits", f"{jobs} of {order}")

"""Messages are refused before they are stored, and only where there is no room for them."""

from __future__ import annotations

import pytest

from actors import admission as admission_module
from actors import cluster_view as view_module
from actors.admission import Admission
from actors.cluster_view import ClusterView
from actors.codec import ClusterReport, HostReport
from actors.host_load import MAX_CHARACTERS
from actors.ports import Overloaded, StorageUnavailable
from actors.router import Host, RoutingTable

LIMIT = 10


class Clock:
    """Stands in for ``time``."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(admission_module, "time", clock)
    monkeypatch.setattr(view_module, "time", clock)
    return clock


@pytest.fixture
def view(clock: Clock) -> ClusterView:
    del clock
    return ClusterView()


@pytest.fixture
def admission(view: ClusterView) -> Admission:
    return Admission(view, lambda _: True, max_in_flight=100, host_max_busy=LIMIT)


def report(busy: int = 0, characters: int = 0, *, has_database: bool = True) -> ClusterReport:
    host = HostReport(
        name="host-0",
        incarnation="1",
        table_version=1,
        conversations=busy,
        turns=0,
        waiting_messages=0,
        redis_leases=0,
        database_leases=0,
        has_redis=True,
        busy=busy,
        characters=characters,
    )
    table = RoutingTable(
        version=1, hosts=[Host(name="host-0", incarnation="1")], writers=["writer-0"]
    )
    return ClusterReport(table=table, hosts=[host], writers={"writer-0": has_database})


def test_with_too_many_in_flight_nothing_is_let_in(admission: Admission) -> None:
    admission.check("c", 99)
    with pytest.raises(Overloaded):
        admission.check("c", 100)


def test_a_host_with_too_much_work_gets_no_more(admission: Admission, view: ClusterView) -> None:
    view.update(report(busy=LIMIT - 1))
    admission.check("c1", 0)
    view.update(report(busy=LIMIT))
    with pytest.raises(Overloaded):
        admission.check("c2", 0)


def test_what_was_sent_since_the_report_counts(admission: Admission, view: ClusterView) -> None:
    view.update(report(busy=LIMIT - 3))
    for number in range(3):
        admission.check(f"c{number}", 0)
    with pytest.raises(Overloaded):
        admission.check("c3", 0)


def test_a_hot_conversation_counts_once(admission: Admission, view: ClusterView) -> None:
    view.update(report(busy=LIMIT - 3))
    for _ in range(1_000):
        admission.check("hot", 0)
    admission.check("other", 0)


def test_what_is_decided_does_not_count(admission: Admission, view: ClusterView) -> None:
    view.update(report())
    for number in range(10 * LIMIT):
        admission.check(f"c{number}", 0)
        admission.note_decided("host-0", f"c{number}")


def test_what_reports_tell_of_by_now_is_not_counted_twice_for_ever(
    admission: Admission, view: ClusterView, clock: Clock
) -> None:
    view.update(report())
    for number in range(10 * LIMIT):
        admission.check(f"c{number}", 0)
        clock.now += admission_module.GENERATION_SECONDS
        view.update(report())


def test_without_news_of_the_cluster_messages_are_let_in(
    admission: Admission, view: ClusterView, clock: Clock
) -> None:
    view.update(report(busy=10 * LIMIT, has_database=False))
    clock.now += view_module.CURRENT_SECONDS
    admission.check("c", 0)


def test_a_host_whose_memory_is_full_gets_no_more(admission: Admission, view: ClusterView) -> None:
    view.update(report(characters=MAX_CHARACTERS))
    with pytest.raises(Overloaded):
        admission.check("c", 0)


def test_a_long_queue_to_the_host_ends_admission(view: ClusterView) -> None:
    view.update(report())
    with pytest.raises(Overloaded):
        Admission(view, lambda _: False, max_in_flight=100, host_max_busy=LIMIT).check("c", 0)


def test_a_database_that_stays_away_is_not_waited_for(
    admission: Admission, view: ClusterView, clock: Clock
) -> None:
    view.update(report(has_database=False))
    admission.check("c", 0)  # it may have been a moment only
    clock.now += view_module.AWAY_SECONDS
    view.update(report(has_database=False))
    with pytest.raises(StorageUnavailable):
        admission.check("c", 0)
    view.update(report())
    admission.check("c", 0)


def test_before_there_is_a_host_messages_are_stored(admission: Admission) -> None:
    admission.check("c", 0)

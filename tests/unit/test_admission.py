"""Messages are refused before they are stored, and only where there is no room for them."""

from __future__ import annotations

import pytest

from actors import admission as admission_module
from actors import cluster_view as view_module
from actors.admission import Admission, most_for_one
from actors.cluster_view import ClusterView
from actors.codec import ClusterReport, HostReport
from actors.expectations import Expectation, Expectations
from actors.host_load import MAX_CHARACTERS
from actors.ports import Overloaded, StorageUnavailable
from actors.router import Host, RoutingTable
from storage.records import NewMessage
from tests.storage.client import message

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
    return made(view, Expectations())


def made(view: ClusterView, expectations: Expectations, *, has_room: bool = True) -> Admission:
    return Admission(view, expectations, lambda _: has_room, max_in_flight=100, host_max_busy=LIMIT)


def to(conversation_id: str, bot_id: str | None = None) -> NewMessage:
    """A message; each of a bot of its own, if it is not said of which."""
    bot_id = bot_id or f"bot of {conversation_id}"
    return message(conversation_id, bot_id=bot_id)


def report(
    busy: int = 0,
    characters: int = 0,
    *,
    has_database: bool = True,
    busy_bots: dict[str, int] | None = None,
) -> ClusterReport:
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
        busy_bots=busy_bots or {},
    )
    table = RoutingTable(
        version=1, hosts=[Host(name="host-0", incarnation="1")], writers=["writer-0"]
    )
    return ClusterReport(table=table, hosts=[host], writers={"writer-0": has_database})


def test_with_too_many_in_flight_nothing_is_let_in(admission: Admission) -> None:
    admission.check(to("c"), 99)
    with pytest.raises(Overloaded):
        admission.check(to("c"), 100)


def test_a_host_with_too_much_work_gets_no_more(admission: Admission, view: ClusterView) -> None:
    view.update(report(busy=LIMIT - 1))
    admission.check(to("c1"), 0)
    view.update(report(busy=LIMIT))
    with pytest.raises(Overloaded):
        admission.check(to("c2"), 0)


def test_what_was_sent_since_the_report_counts(admission: Admission, view: ClusterView) -> None:
    view.update(report(busy=LIMIT - 3))
    for number in range(3):
        admission.check(to(f"c{number}"), 0)
    with pytest.raises(Overloaded):
        admission.check(to("c3"), 0)


def test_a_hot_conversation_counts_once(admission: Admission, view: ClusterView) -> None:
    view.update(report(busy=LIMIT - 3))
    for _ in range(1_000):
        admission.check(to("hot"), 0)
    admission.check(to("other"), 0)


def test_what_is_decided_does_not_count(admission: Admission, view: ClusterView) -> None:
    view.update(report())
    for number in range(10 * LIMIT):
        admission.check(to(f"c{number}"), 0)
        admission.note_decided("host-0", f"c{number}")


def test_what_reports_tell_of_by_now_is_not_counted_twice_for_ever(
    admission: Admission, view: ClusterView, clock: Clock
) -> None:
    view.update(report())
    for number in range(10 * LIMIT):
        admission.check(to(f"c{number}"), 0)
        clock.now += admission_module.GENERATION_SECONDS
        view.update(report())


def test_without_news_of_the_cluster_messages_are_let_in(
    admission: Admission, view: ClusterView, clock: Clock
) -> None:
    view.update(report(busy=10 * LIMIT, has_database=False))
    clock.now += view_module.CURRENT_SECONDS
    admission.check(to("c"), 0)


def test_a_host_whose_memory_is_full_gets_no_more(admission: Admission, view: ClusterView) -> None:
    view.update(report(characters=MAX_CHARACTERS))
    with pytest.raises(Overloaded):
        admission.check(to("c"), 0)


def test_a_long_queue_to_the_host_ends_admission(view: ClusterView) -> None:
    view.update(report())
    with pytest.raises(Overloaded):
        made(view, Expectations(), has_room=False).check(to("c"), 0)


def test_a_database_that_stays_away_is_not_waited_for(
    admission: Admission, view: ClusterView, clock: Clock
) -> None:
    view.update(report(has_database=False))
    admission.check(to("c"), 0)  # it may have been a moment only
    clock.now += view_module.AWAY_SECONDS
    view.update(report(has_database=False))
    with pytest.raises(StorageUnavailable):
        admission.check(to("c"), 0)
    view.update(report())
    admission.check(to("c"), 0)


def test_before_there_is_a_host_messages_are_stored(admission: Admission) -> None:
    admission.check(to("c"), 0)


def test_a_slow_ai_has_its_own_bots_refused_and_no_others(
    admission: Admission, view: ClusterView
) -> None:
    view.update(report(busy=8, busy_bots={"slow": most_for_one(LIMIT)}))
    with pytest.raises(Overloaded):
        admission.check(to("c1", "slow"), 0)
    admission.check(to("c2", "other"), 0)


def test_a_burst_for_one_bot_leaves_room_for_others(
    admission: Admission, view: ClusterView
) -> None:
    view.update(report())
    for number in range(most_for_one(LIMIT)):
        admission.check(to(f"c{number}", "slow"), 0)
    with pytest.raises(Overloaded):
        admission.check(to("one more", "slow"), 0)
    admission.check(to("another", "other"), 0)


async def test_callers_of_one_bot_leave_room_for_those_of_others(view: ClusterView) -> None:
    book = Expectations()
    admission = made(view, book)
    waiting = [Expectation(book, ("c", str(number))) for number in range(most_for_one(100))]
    for expectation in waiting:
        await expectation.__aenter__()
        book.note_bot(expectation, "slow")
    with pytest.raises(Overloaded):
        admission.check(to("c1", "slow"), 0)
    admission.check(to("c2", "other"), 0)
    for expectation in waiting:
        await expectation.__aexit__(None, None, None)
    admission.check(to("c1", "slow"), 0)
    assert book.of_bot("slow") == 0

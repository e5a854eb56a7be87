import pytest

from benchmarks.schedule import arrival_times


def test_arrivals_are_the_same_each_time() -> None:
    assert arrival_times(50, 10) == arrival_times(50, 10)


def test_arrivals_are_in_order_and_within_the_time() -> None:
    times = arrival_times(50, 10)
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 10


def test_arrivals_have_the_rate_that_was_asked_for() -> None:
    assert len(arrival_times(100, 100)) / 100 == pytest.approx(100, rel=0.05)

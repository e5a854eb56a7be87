import pytest

from benchmarks.statistics import Rounds, percentile, ratios, shown


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.9, 100), (100, 100)]
)
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_a_percentile_of_few_values_is_the_largest() -> None:
    assert percentile([1, 2, 3], 99.9) == 3


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_ratio_is_of_medians_and_its_spread_of_rounds() -> None:
    assert ratios([90, 80, 100], [100, 100, 100]) == Rounds(0.9, 0.8, 1.0)


def test_rounds_that_agree_show_one_figure() -> None:
    assert str(Rounds.of([1234.5])) == "1,234"
    assert str(Rounds.of([1.0, 2.0, 3.0])) == "2 (1 – 3)"


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (0.12345, "0.123"), (7, "7")])
def test_figures_have_three_digits_or_are_whole(value: float, text: str) -> None:
    assert shown(value) == text

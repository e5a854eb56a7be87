from pathlib import Path

from benchmarks.report import Report
from benchmarks.result import Measurement, Outcome, Result, Table


def measurement(name: str = "some") -> Measurement:
    return Measurement(name, "something", lambda _: Outcome())


def test_a_high_result_is_good_above_its_target() -> None:
    result = Result("ratio", 0.8, "×", least=0.75, aim=0.85)
    assert result.holds is True
    assert result.reaches_aim is False


def test_a_low_result_is_good_below_its_target() -> None:
    result = Result("latency", 12, "ms", least=10, good="low")
    assert result.holds is False
    assert result.reaches_aim is None


def test_results_come_before_tables_and_failures_after(tmp_path: Path) -> None:
    report = Report({"memory": "1 GiB"})
    table = Table("Behind it", ("", "rate"), [("one", 5.0)])
    report.add(measurement(), Outcome([Result("ratio", 0.5, "×", least=0.75)], [table]))
    report.add_failure(measurement("other"), RuntimeError("no luck"))
    report.write(tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    places = [
        text.index(part)
        for part in ("| ratio | 0.5 × |  | ≥ 0.75 | **no** |", "| one | 5 |", "no luck", "1 GiB")
    ]
    assert places == sorted(places)
    assert "NOT MEASURED  other" in report.as_text()


def test_a_quick_run_says_so() -> None:
    assert "quick run" in Report({}, is_quick=True).as_markdown()
    assert "quick run" not in Report({}).as_markdown()


def test_a_spread_is_shown_where_there_were_several_rounds() -> None:
    results = [
        Result("one round", 0.5, "×", low=0.5, high=0.5),
        Result("three rounds", 0.5, "×", low=0.4, high=0.6),
    ]
    report = Report({})
    report.add(measurement(), Outcome(results))
    text = report.as_markdown()
    assert "| one round | 0.5 × |  |" in text
    assert "| three rounds | 0.5 × | 0.4 – 0.6 |" in text


def test_what_was_measured_is_not_missing_any_more() -> None:
    report = Report({}, failures={"some": "not yet", "other": "not yet"})
    report.add(measurement("some"), Outcome())
    assert report.failures == {"other": "not yet"}

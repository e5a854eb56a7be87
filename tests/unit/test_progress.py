"""Progress: a bar on a terminal, a few plain lines in a file."""

from __future__ import annotations

import io

import pytest

from ingress.terminal.progress import ProgressBar, Steps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_bar_is_ten_plain_lines() -> None:
    out = io.StringIO()
    with ProgressBar("Seeds", 1000, out) as bar:
        for _ in range(1000):
            bar.advance()

    lines = out.getvalue().splitlines()
    assert lines == [f"Seeds: {10 * number} %" for number in range(1, 11)]


def test_a_bar_is_never_more_than_full() -> None:
    out = io.StringIO()
    with ProgressBar("Minutes", 2.0, out) as bar:
        bar.reach(5.0)

    assert out.getvalue() == "Minutes: 100 %\n"


@pytest.mark.parametrize("total", [0, 0.0])
def test_nothing_to_do_is_done(total: float) -> None:
    with ProgressBar("Nothing", total, io.StringIO()) as bar:
        bar.reach(0)


def test_on_a_terminal_a_bar_leaves_nothing_behind() -> None:
    out = Terminal()
    with ProgressBar("Seeds", 10, out) as bar:
        bar.advance(5)

    assert "Seeds" in out.getvalue()
    assert "\x1b[2K" in out.getvalue().rpartition("Seeds")[2]  # it is wiped away


def test_each_step_is_a_line() -> None:
    out = io.StringIO()
    steps = Steps(2, out)
    steps.begin("Starting PostgreSQL")
    steps.begin("Starting Ray")

    first, second = out.getvalue().splitlines()
    assert first.startswith("[--] 1/2 ")
    assert first.endswith("Starting PostgreSQL")
    assert second.startswith("[#-] 2/2 ")

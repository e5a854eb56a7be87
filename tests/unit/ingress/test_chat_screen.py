"""The chat on a terminal: typed over a pretended keyboard, shown above what is being typed."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from ingress.terminal.narration import Line, Tone
from ingress.terminal.screen import Left, PipeScreen, TerminalScreen, open_screen

CTRL_C = "\x03"
CTRL_D = "\x04"


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


async def test_lines_are_what_is_typed_until_control_d(keyboard: PipeInput) -> None:
    keyboard.send_text(f"Xin chào\rand more\r{CTRL_D}")
    screen = TerminalScreen()
    with screen.opened(lambda: 0):
        assert [it async for it in screen.typed()] == ["Xin chào", "and more"]


async def test_control_c_does_not_wait(keyboard: PipeInput) -> None:
    keyboard.send_text(f"half a line{CTRL_C}")
    screen = TerminalScreen()
    with screen.opened(lambda: 1), pytest.raises(Left):
        _ = [it async for it in screen.typed()]


async def test_what_a_bot_says_is_no_markup(
    keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = TerminalScreen()
    screen.show(Line(Tone.BOT, "[red]not red[/red]"))

    assert "bot> [red]not red[/red]" in capsys.readouterr().out


async def test_a_pipe_that_is_closed_at_once_is_an_end() -> None:
    screen = PipeScreen(io.StringIO(""), pause_seconds=0)
    assert [it async for it in screen.typed()] == []


def test_without_a_terminal_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    assert isinstance(open_screen(0), PipeScreen)

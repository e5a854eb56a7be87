"""`chat-orchestrator chat`: what it sends, and what it shows of what happens."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ingress.terminal import chat_client
from ingress.terminal.chat_client import ChatFailed
from ingress.terminal.run_chat import run_chat
from ingress.terminal.screen import Left, PipeScreen
from storage.processes import free_port
from tests.pretended_screen import PretendedScreen
from tests.stack.server import wait_for
from tests.unit.terminal_server import JOB_1, JOB_2, TOKEN, TerminalServer, answered, job

pytestmark = pytest.mark.usefixtures("_no_pauses")


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "PAUSE_SECONDS", 0.0)


@pytest.fixture
async def server() -> AsyncIterator[TerminalServer]:
    async with TerminalServer.serving() as serving:
        yield serving


async def talk(server: TerminalServer, *typed: Any, bot: str | None = None) -> PretendedScreen:
    screen = PretendedScreen(*typed)
    await run_chat(screen, server.url, TOKEN, "conv", bot)
    return screen


def sent(server: TerminalServer, count: int) -> Callable[[], Any]:
    """Return what waits until so many messages have come."""

    async def are_sent() -> bool:
        return len(server.bodies) >= count

    return lambda: wait_for(are_sent, what=f"{count} messages are sent")


def completed(text: str, job_id: str = JOB_1, **fields: Any) -> dict[str, Any]:
    turn = answered(text, **fields)
    return {"status": "completed", "job_id": job_id, "consolidated_messages": 1, **turn}


async def test_an_answer_is_shown_with_how_it_came_about(server: TerminalServer) -> None:
    server.answers = [completed("Good day", intent="greet", model="m-1")]
    screen = await talk(server, "Hello", bot="sales")

    assert "bot: Good day" in screen.text
    assert "turn 11111111 is done, AI 1.2 s, m-1, intent greet, delivered" in screen.text
    assert "send_message" not in screen.text  # it says nothing that the answer does not
    (body,) = server.bodies
    assert body["message_content"] == "Hello"
    assert body["conversation_id"] == "conv"
    assert body["metadata"] == {"bot_id": "sales"}


async def test_what_else_the_bot_does_is_shown(server: TerminalServer) -> None:
    actions = [
        {"type": "send_message", "data": {"message": "Which one?"}},
        {"type": "send_quick_replies", "data": {"quick_replies": ["Đỏ", "Xanh"]}},
        {"type": "transfer_to_agent", "data": {}},
    ]
    server.answers = [completed("Which one?", actions=actions, delivery="pending")]
    screen = await talk(server, "Shoes")

    assert screen.text.count("Which one?") == 1
    assert 'action: send_quick_replies {"quick_replies": ["Đỏ", "Xanh"]}' in screen.text
    assert "action: transfer_to_agent" in screen.text
    assert "not delivered yet" in screen.text


async def test_what_is_typed_while_a_turn_runs_is_sent_and_its_merge_is_shown(
    server: TerminalServer,
) -> None:
    server.hold["one"] = asyncio.Event()
    newer = {"status": "restart_needed", "job_id": JOB_1, "consolidated_messages": 1}
    server.answers = [
        {**newer, "current_result": answered("to one"), "restart_job_id": JOB_2},
        {"status": "locked", "queued": True, "job_id": JOB_2},
        {"status": "locked", "queued": True, "job_id": JOB_2},
    ]
    turn = {"consolidated_messages": 2}
    server.streams[JOB_2] = [
        [
            job(JOB_2, "queued"),
            job(JOB_2, "processing", **turn),
            job(JOB_2, "completed", **turn, result=answered("to both")),
        ]
    ]

    async def release() -> None:
        server.hold["one"].set()

    one_is_sent, all_are_sent = sent(server, 1), sent(server, 3)
    screen = await talk(server, "one", one_is_sent, "two", "three", all_are_sent, release)

    assert screen.text.count("a turn is running; this waits for the turn 22222222") == 2
    assert screen.text.count("turn 22222222 runs with 2 messages merged") == 1
    assert screen.text.count("bot: to one") == 1
    assert screen.text.count("bot: to both") == 1
    assert "turn 22222222 is done with 2 messages merged" in screen.text
    assert server.opened[JOB_2] == 1
    assert screen.under_way() == 0


async def test_a_job_that_another_took_the_place_of_leads_to_it(server: TerminalServer) -> None:
    server.answers = [{"status": "locked", "queued": True, "job_id": JOB_1}]
    server.streams[JOB_1] = [[job(JOB_1, "superseded", superseded_by=JOB_2)]]
    server.streams[JOB_2] = [[job(JOB_2, "completed", result=answered("at last"))]]
    screen = await talk(server, "Hello")

    assert "merged into the turn 22222222" in screen.text
    assert "bot: at last" in screen.text


async def test_a_restart_is_shown_and_the_answer_once(server: TerminalServer) -> None:
    restart = {"status": "restart_needed", "job_id": JOB_1, "restart_job_id": JOB_1}
    server.answers = [{**restart, "current_result": None}]
    server.streams[JOB_1] = [[job(JOB_1, "completed", result=answered("to all"))]]
    screen = await talk(server, "Hello")

    assert "the turn 11111111 begins again" in screen.text
    assert screen.text.count("bot: to all") == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": "locked", "queued": False, "job_id": None}, "takes nothing meanwhile"),
        ({"status": "recorded", "reason": "with_agent", "job_id": JOB_1}, "a person has this"),
        ({"status": "recorded", "reason": "bot_disabled", "job_id": JOB_1}, "switched off"),
        ({"status": "failed", "reason": "ai_timeout", "job_id": JOB_1}, "failed: ai_timeout"),
    ],
    ids=["refused", "person", "disabled", "failed"],
)
async def test_a_message_without_an_answer_says_why(
    server: TerminalServer, answer: dict[str, Any], said: str
) -> None:
    server.answers = [answer]
    assert said in (await talk(server, "Hello")).text


@pytest.mark.parametrize("trouble", [503, 429, None], ids=["busy", "rate", "broken"])
async def test_what_is_not_taken_is_sent_again_as_the_same_message(
    server: TerminalServer, trouble: int | None
) -> None:
    server.answers = [trouble, completed("Good day")]
    screen = await talk(server, "Hello")

    assert "sending it again" in screen.text
    assert "bot: Good day" in screen.text
    assert len({it["message_id"] for it in server.bodies}) == 1
    assert len(server.bodies) == 2


async def test_what_the_server_never_takes_is_said_and_the_chat_goes_on(
    server: TerminalServer,
) -> None:
    server.answers = [422, completed("Good day")]

    async def refused() -> None:
        async def is_over() -> bool:
            return bool(server.bodies) and screen.under_way() == 0

        await wait_for(is_over)

    screen = PretendedScreen("x", refused, "Hello")
    await run_chat(screen, server.url, TOKEN, "conv", None)
    assert "trouble: not sent: Not now" in screen.text
    assert "bot: Good day" in screen.text


async def test_events_that_break_off_are_asked_for_again(server: TerminalServer) -> None:
    server.answers = [{"status": "processing", "job_id": JOB_1}]
    server.streams[JOB_1] = [
        [job(JOB_1, "processing")],
        [job(JOB_1, "processing"), job(JOB_1, "completed", result=answered("Good day"))],
    ]
    screen = await talk(server, "Hello")

    assert "still waiting for the turn 11111111" in screen.text
    assert screen.text.count("turn 11111111 runs") == 1
    assert screen.text.count("bot: Good day") == 1


async def test_no_text_of_others_steers_the_terminal(server: TerminalServer) -> None:
    said = {"type": "send_message", "data": {"message": "a\x1b]0;b\x07\nc\x9b"}}
    actions = [said, {"type": "\x1b[2J", "data": {}}]
    server.answers = [completed("", actions=actions)]
    screen = await talk(server, "Hello")

    assert not any(it in screen.text for it in "\x1b\x07\x9b")
    assert "a?]0;b?\nc?" in screen.text


async def test_who_leaves_does_not_wait(server: TerminalServer) -> None:
    server.hold["Hello"] = asyncio.Event()
    server.answers = [completed("never seen")]

    async def leave() -> None:
        raise Left

    screen = await talk(server, "Hello", sent(server, 1), leave)
    assert "never seen" not in screen.text
    assert screen.under_way() == 0
    server.hold["Hello"].set()


async def test_a_server_that_is_not_there_is_said_plainly() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ChatFailed, match="start one with: chat-orchestrator up"):
        await run_chat(PretendedScreen(), url, TOKEN, "conv", None)


async def test_a_bad_token_is_said_plainly(server: TerminalServer) -> None:
    with pytest.raises(ChatFailed, match="set PANCAKE_ACCESS_TOKEN"):
        await run_chat(PretendedScreen(), server.url, "another", "conv", None)


async def test_an_address_that_is_none_is_said_plainly() -> None:
    with pytest.raises(ChatFailed, match="no server answers at nowhere"):
        await run_chat(PretendedScreen(), "nowhere", TOKEN, "conv", None)


async def test_lines_of_a_pipe_are_sent_and_what_happens_is_printed(
    server: TerminalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [completed("[bold]Good[/bold] day\nto you")]
    screen = PipeScreen(io.StringIO("Hello\n\n"), pause_seconds=0)
    await run_chat(screen, server.url, TOKEN, "conv", None)

    printed = capsys.readouterr().out
    assert "conversation conv" in printed
    assert "you> Hello\n" in printed
    assert "bot> [bold]Good[/bold] day\n     to you\n" in printed
    assert len(server.bodies) == 1  # the empty line is none

"""`chat-orchestrator chat` with the real product: what is typed meanwhile is merged, and shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ingress.terminal.run_chat import run_chat
from tests.pretended_screen import PretendedScreen
from tests.stack.ask import asked_ai
from tests.stack.server import MESSAGES_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs


def shown(screen: PretendedScreen, text: str, count: int = 1) -> Callable[[], Awaitable[object]]:
    """Return what waits until a text is on the screen so often."""

    async def is_shown() -> bool:
        return screen.text.count(text) >= count

    return lambda: wait_for(is_shown, what=f"{text!r} is shown")


async def test_what_is_typed_while_a_turn_runs_is_merged_and_shown(
    server: Server, stubs: Stubs, conversation_id: str
) -> None:
    release = stubs.hold(conversation_id)

    async def is_asked() -> None:
        await asked_ai(stubs, conversation_id)

    async def answer() -> None:
        release()

    waits = "a turn is running; this waits for the turn"
    screen = PretendedScreen()
    screen.add(
        "one", is_asked, "two", shown(screen, waits), "three", shown(screen, waits, 2), answer
    )
    await run_chat(screen, server.url, MESSAGES_TOKEN, conversation_id, None)

    spoken = [it.text for it in screen.lines if it.tone.value == "bot"]
    assert spoken == ["answer to one", "answer to two\nthree"]
    assert "with 2 messages merged, AI" in screen.text
    assert len(stubs.delivered(conversation_id)) == 2
    assert [it for it in screen.lines if it.tone.value == "trouble"] == []


async def test_an_action_is_shown(server: Server, stubs: Stubs, conversation_id: str) -> None:
    transfer = {"type": "transfer_to_agent", "data": {"reason": "asked"}}
    stubs.plan_ai(conversation_id, {"response_text": "One moment", "actions": [transfer]})
    screen = PretendedScreen("a person, please")
    await run_chat(screen, server.url, MESSAGES_TOKEN, conversation_id, None)

    assert "bot: One moment" in screen.text
    assert 'action: transfer_to_agent {"reason": "asked"}' in screen.text

    afterwards = PretendedScreen("are you there?")
    await run_chat(afterwards, server.url, MESSAGES_TOKEN, conversation_id, None)
    assert "a person has this conversation" in afterwards.text

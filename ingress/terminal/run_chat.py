"""``chat-orchestrator chat``, from its first line to its last."""

from __future__ import annotations

from ingress.terminal.chat import Chat
from ingress.terminal.chat_client import ChatClient
from ingress.terminal.narration import Line, Tone, trouble
from ingress.terminal.screen import Left, Screen

__all__ = ["run_chat"]


async def run_chat(
    screen: Screen, url: str, token: str, conversation_id: str, bot_id: str | None
) -> None:
    """Chat until what is typed ends, and everything that was said has its outcome.

    Raises ``ChatFailed`` where there is no server to chat with.
    """

    def complain(text: str) -> None:
        screen.show(trouble(text))

    async with ChatClient.open(url, token, conversation_id, bot_id, complain) as client:
        chat = Chat(client, screen.show)
        with screen.opened(lambda: chat.under_way):
            screen.show(Line(Tone.NOTE, f"{url}, conversation {conversation_id}"))
            try:
                async for text in screen.typed():
                    if text.strip():
                        await chat.say(text)
                await chat.finish()
            except Left:
                pass
            finally:
                await chat.leave()

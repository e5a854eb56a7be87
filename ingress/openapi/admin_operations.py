"""The operations of administrators."""

from __future__ import annotations

from ingress.openapi import admin_answers as answers
from ingress.openapi import conversation_answers as conversations
from ingress.openapi.described import Described
from ingress.openapi.examples import BOT_REQUEST
from ingress.queries import CleanupQuery, ConversationsQuery, DeadLettersQuery, RetryQuery
from storage.bots import Bot

__all__ = ["ADMIN_OPERATIONS"]

_CONVERSATIONS, _LETTERS, _BOTS, _SYSTEM = "Conversations", "Dead letters", "Bots", "System"
_BASE = "/api/v1/admin"
_CONVERSATION = f"{_BASE}/conversations/{{conversation_id}}"
_BOT = f"{_BASE}/bots/{{bot_id}}"


def _cleanup(name: str) -> Described:
    return Described(
        name=name,
        tag=_SYSTEM,
        summary="Drop conversations idle for longer, and orphaned leases",
        text="Never one with unanswered messages or undelivered answers.",
        query=CleanupQuery,
        answer=answers.CleanupAnswer,
    )


ADMIN_OPERATIONS: dict[tuple[str, str], Described] = {
    ("GET", f"{_BASE}/conversations"): Described(
        name="listConversations",
        tag=_CONVERSATIONS,
        summary="List conversations, newest first",
        text=(
            "`search` finds what has it in its id, among the 10,000 latest of each status, and "
            "the one whose whole id it is. `waiting`: with messages to answer or answers to "
            "deliver."
        ),
        query=ConversationsQuery,
        answer=conversations.ConversationList,
    ),
    ("GET", _CONVERSATION): Described(
        name="getConversation",
        tag=_CONVERSATIONS,
        summary="Look into a conversation: its messages, jobs, actions, and why it waits",
        answer=conversations.ConversationDetailAnswer,
    ),
    ("DELETE", _CONVERSATION): Described(
        name="eraseConversation",
        tag=_CONVERSATIONS,
        summary="Cancel a conversation and erase all of it",
        text="While Redis is away its copy cannot be deleted: 503, to be asked again.",
        answer=conversations.ErasedConversation,
    ),
    ("POST", f"{_CONVERSATION}/cancel"): Described(
        name="cancelConversation",
        tag=_CONVERSATIONS,
        summary="Free a conversation: cancel its turn and delete its lease, wherever it is held",
        text="Messages that wait are processed then.",
        answer=conversations.CancelledConversationAnswer,
    ),
    ("POST", f"{_CONVERSATION}/resume"): Described(
        name="resumeConversation",
        tag=_CONVERSATIONS,
        summary="Give a conversation back to the bot",
        answer=conversations.ResumedConversation,
    ),
    ("GET", f"{_BASE}/dead-letters"): Described(
        name="listDeadLetters",
        tag=_LETTERS,
        summary="List what was given up, the latest first",
        query=DeadLettersQuery,
        answer=answers.DeadLetterList,
    ),
    ("POST", f"{_BASE}/dead-letters/retry"): Described(
        name="retryDeadLetters",
        tag=_LETTERS,
        summary="Try all again that were given up until now",
        query=RetryQuery,
        answer=answers.RetriedAll,
    ),
    ("POST", f"{_BASE}/dead-letters/{{letter_id}}/retry"): Described(
        name="retryDeadLetter",
        tag=_LETTERS,
        summary="Try one again",
        answer=answers.RetriedLetterAnswer,
    ),
    ("GET", f"{_BASE}/bots"): Described(
        name="listBots", tag=_BOTS, summary="List the bots", answer=answers.BotList
    ),
    ("GET", _BOT): Described(name="getBot", tag=_BOTS, summary="Look at a bot", answer=Bot),
    ("PUT", _BOT): Described(
        name="putBot",
        tag=_BOTS,
        summary="Make a bot, or replace it as a whole",
        text=(
            "What is missing gets its default, the name is the id. A `bot_id` in the body must be "
            "that of the path. A change holds in every host within 5 s."
        ),
        takes=Bot,
        takes_example=BOT_REQUEST,
        answer=Bot,
    ),
    ("DELETE", _BOT): Described(
        name="deleteBot", tag=_BOTS, summary="Delete a bot", answer=answers.DeletedBot
    ),
    ("GET", f"{_BASE}/health"): Described(
        name="getSystemHealth",
        tag=_SYSTEM,
        summary="What works, and which conversations do not get on",
        answer=answers.SystemHealth,
    ),
    ("GET", f"{_BASE}/stats"): Described(
        name="getStatistics", tag=_SYSTEM, summary="Figures", answer=answers.StatisticsAnswer
    ),
    ("GET", f"{_BASE}/overview"): Described(
        name="getOverview",
        tag=_SYSTEM,
        summary="What works, what is stuck, who works on what, and what was counted, in one look",
        text="What was counted is summed over this instance and all actors.",
        answer=answers.OverviewAnswer,
    ),
    ("GET", f"{_BASE}/events"): Described(
        name="followOverview",
        tag=_SYSTEM,
        summary="Follow the overview by Server-Sent Events",
        text=(
            "One event `overview` each two seconds, with what `GET /api/v1/admin/overview` shows "
            "as data, for ten minutes: then ask again. 503 when too many streams are open."
        ),
        answer=answers.OverviewAnswer,
        media_type="text/event-stream",
    ),
    ("POST", f"{_BASE}/system/cleanup"): _cleanup("cleanUp"),
    ("POST", "/admin/system/cleanup"): _cleanup("cleanUpByItsOtherPath"),
    ("GET", f"{_BASE}/deliveries"): Described(
        name="listDeliveries",
        tag=_SYSTEM,
        summary="What the simulated platform got, newest first",
        answer=answers.Deliveries,
    ),
}

"""The rules of a conversation, as values: events in, effects out.

Nothing here awaits, reads a clock, makes an id, logs, or imports anything but the standard library;
so promise 2 (one owner at a time, answered once) can be tested with lists in and lists out.
"""

from actors.conversation.conversation import Conversation, IllegalTransition
from actors.conversation.limits import Limits
from actors.conversation.message import Line, Message
from actors.conversation.phase import Phase
from actors.conversation.policy import BusyPolicy, Policy

__all__ = [
    "BusyPolicy",
    "Conversation",
    "IllegalTransition",
    "Limits",
    "Line",
    "Message",
    "Phase",
    "Policy",
]

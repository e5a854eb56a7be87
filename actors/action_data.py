"""One data model for each type of action.

Platforms differ in what they call a field, so the usual names of one thing are taken, and fields
not named here are handed through. What is refused is what no platform could act on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["MAX_MESSAGE_LENGTH", "MODELS", "SUPPORTED_ACTION_TYPES"]

MAX_MESSAGE_LENGTH = 262_144
"""Characters; as long as all that a turn may answer."""

Message = Annotated[str, StringConstraints(max_length=MAX_MESSAGE_LENGTH, pattern=r"\S")]
Label = Annotated[str, StringConstraints(max_length=1024, pattern=r"\S")]
Note = Annotated[str, StringConstraints(max_length=4096)]


class ActionData(BaseModel):
    """Base of the models: exact types, further fields kept."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


class SendMessage(ActionData):
    """Say something."""

    message: Message = Field(validation_alias=AliasChoices("message", "text"))


class QuickReply(ActionData):
    """One answer to tap."""

    title: Label = Field(validation_alias=AliasChoices("title", "text", "label"))


class SendQuickReplies(ActionData):
    """Say something and offer answers to tap."""

    message: Message | None = Field(None, validation_alias=AliasChoices("message", "text"))
    quick_replies: list[Label | QuickReply] = Field(
        min_length=1,
        max_length=20,
        validation_alias=AliasChoices("quick_replies", "replies", "options", "buttons"),
    )


class CarouselItem(ActionData):
    """One card."""

    title: Label
    subtitle: Note | None = None
    image_url: Note | None = None
    buttons: list[dict[str, Any]] = Field([], max_length=20)


class SendCarousel(ActionData):
    """Show cards side by side."""

    items: list[CarouselItem] = Field(
        min_length=1,
        max_length=20,
        validation_alias=AliasChoices("items", "elements", "cards"),
    )


class TransferToAgent(ActionData):
    """Let a person take over."""

    reason: Note | None = None
    department: Note | None = None
    message: Note | None = None


class CollectedField(ActionData):
    """Something to ask for."""

    name: Label


class CollectInfo(ActionData):
    """Ask for what is missing."""

    fields: Annotated[list[Label | CollectedField], Field(min_length=1, max_length=50)] | Label = (
        Field(validation_alias=AliasChoices("fields", "field"))
    )
    message: Note | None = Field(None, validation_alias=AliasChoices("message", "prompt"))


class ExecuteApi(ActionData):
    """Have the platform call something of its own, by name or address."""

    endpoint: Label = Field(validation_alias=AliasChoices("endpoint", "url", "api", "name"))
    method: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,16}$")] | None = None
    parameters: dict[str, Any] | None = Field(
        None, validation_alias=AliasChoices("parameters", "params", "payload", "body")
    )


class EndConversation(ActionData):
    """Close the conversation; the next message opens it again."""

    reason: Note | None = None
    message: Note | None = None


MODELS: Mapping[str, type[ActionData]] = {
    "send_message": SendMessage,
    "send_quick_replies": SendQuickReplies,
    "send_carousel": SendCarousel,
    "transfer_to_agent": TransferToAgent,
    "collect_info": CollectInfo,
    "execute_api": ExecuteApi,
    "end_conversation": EndConversation,
}

SUPPORTED_ACTION_TYPES: tuple[str, ...] = tuple(MODELS)

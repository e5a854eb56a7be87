"""The requests and answers of the two message endpoints, as clients see them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ingress.errors import Problem, ValidationFailed
from ingress.history import HISTORY_PATTERN

__all__ = [
    "LATEST_TIMESTAMP",
    "MAX_CONTENT_CHARACTERS",
    "EnhancedMessageRequest",
    "Identifier",
    "Metadata",
    "PancakeMessageRequest",
    "PancakeMessageResponse",
    "Resources",
    "validated",
]

LATEST_TIMESTAMP = 253_402_300_799
"""The last second of the year 9999."""
MAX_CONTENT_CHARACTERS = 32_768
_MAX_PROBLEMS = 20

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ModelType = TypeVar("ModelType", bound=BaseModel)


class _Request(BaseModel):
    """Exact types, no coercion; unknown fields are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Metadata(BaseModel):
    """Anything; ``bot_id`` picks the bot."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    bot_id: Identifier | None = None


class Resources(Metadata):
    """Anything; ``bot_id`` picks the bot."""


class EnhancedMessageRequest(_Request):
    """One message, for ``POST /api/v1/enhanced-handle-message``."""

    conversation_id: Identifier
    message_id: Identifier
    message_content: Annotated[str, StringConstraints(max_length=MAX_CONTENT_CHARACTERS)]
    sender_id: Identifier
    sender_type: Literal["user", "agent", "bot", "system"]
    timestamp: Annotated[float, Field(ge=0, le=LATEST_TIMESTAMP)]
    """Unix seconds."""
    metadata: Metadata | None = None
    attachments: list[dict[str, Any]] | None = None


class PancakeMessageRequest(_Request):
    """A history that ends in something new, for ``POST /api/v1/chat/message``."""

    conversation_id: Identifier | None = None
    history: Annotated[str, Field(json_schema_extra={"pattern": HISTORY_PATTERN})]
    """``<USER>…</USER><br><BOT>…</BOT>``; the last run of USER parts is what is new."""
    resources: Resources | None = None


class PancakeMessageResponse(BaseModel):
    """What became of it so far."""

    success: bool
    status: str
    message: str | None = None
    error: str | None = None
    action: str | None = None
    ai_job_id: str | None = None
    lock_id: str | None = None
    consolidated_messages: int | None = None
    bot_name: str | None = None
    conversation_id: str | None = None


def validated(model: type[ModelType], document: dict[str, Any]) -> ModelType:
    """Return the model of a document. Raises ``ValidationFailed`` with every problem."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ValidationFailed(_details(error)) from None


def _details(error: ValidationError) -> list[Problem]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        Problem(".".join(str(part) for part in item["loc"]), item["msg"])
        for item in found[:_MAX_PROBLEMS]
    ]

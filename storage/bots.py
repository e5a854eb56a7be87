"""What a bot may be told: the object that the admin API takes and shows.

``storage.bot_rows`` reads and writes it, ``storage.effective_bot`` says what holds in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from storage.json_values import json_text, storage_problem

__all__ = [
    "DEFAULT_BOT",
    "DEFAULT_BOT_ID",
    "AfterTransfer",
    "AiCore",
    "Bot",
    "BotOverride",
    "BusyPolicy",
    "Platform",
]

DEFAULT_BOT_ID = "default"
MAX_CONTEXT_MESSAGES = 200
MAX_SETTINGS_BYTES = 65_536

BusyPolicy: TypeAlias = Literal["merge", "queue", "restart", "reject"]
AfterTransfer: TypeAlias = Literal["silent", "continue"]


def _within_bounds(value: dict[str, Any]) -> dict[str, Any]:
    json_text(value, MAX_SETTINGS_BYTES)
    return value


def _whole(value: object) -> object:
    """Take ``5.0`` for the integer that it is in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+[^\s?#]*$", max_length=2048)]
Path = Annotated[str, StringConstraints(pattern=r"^/[^\s#]*$", max_length=2048)]
Prompt = Annotated[str, StringConstraints(max_length=65_536)]
Milliseconds = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(_whole)]
LongestDebounce = Annotated[int, Field(ge=0, le=60_000), BeforeValidator(_whole)]
ContextMessages = Annotated[int, Field(ge=0, le=MAX_CONTEXT_MESSAGES), BeforeValidator(_whole)]
Attempts = Annotated[int, Field(ge=1, le=20), BeforeValidator(_whole)]
Fallback = Annotated[str, StringConstraints(pattern=r"\S", max_length=32_768)]
Minutes = Annotated[float, Field(ge=0, le=525_600)]
Environment = Annotated[str, StringConstraints(min_length=1, max_length=64, to_lower=True)]
FreeForm = Annotated[dict[str, Any], AfterValidator(_within_bounds)]


class _Strict(BaseModel):
    """Exact types within bounds; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_cannot_be_stored(cls, value: object) -> object:
        if problem := storage_problem(value):
            raise ValueError(problem)
        return value


class AiCore(_Strict):
    """The AI service of a bot; what is null is taken from the environment."""

    url: Url | None = None
    path: Path | None = None
    model: Identifier | None = None
    system_prompt: Prompt | None = None
    timeout_seconds: float | None = Field(None, gt=0, le=3600)
    max_attempts: Attempts | None = None
    settings: FreeForm = {}


class Platform(_Strict):
    """Where the actions of a bot are sent; what is null is taken from the environment."""

    base_url: Url | None = None
    path: Path | None = None


class _BotFields(_Strict):
    """What a bot and its overrides have in common."""

    enabled: bool = True
    """A bot that is not records messages and answers none."""
    busy_policy: BusyPolicy = "merge"
    debounce_ms: Milliseconds = 0
    debounce_max_ms: LongestDebounce = 30_000
    """Less than ``debounce_ms`` counts as that."""
    context_messages: ContextMessages = 20
    fallback_message: Fallback | None = None
    yield_to_agent: bool = True
    after_transfer: AfterTransfer = "silent"
    handoff_timeout_minutes: Minutes = 0
    """0: never."""
    ai_core: AiCore = AiCore()
    platform: Platform = Platform()


class BotOverride(_BotFields):
    """Part of a bot that holds in one environment: only the fields that are present count."""

    name: Identifier | None = None


class Bot(_BotFields):
    """A bot as the admin API takes and shows it; without a name it is named after its id."""

    bot_id: Identifier
    name: Identifier
    overrides: dict[Environment, BotOverride] = Field({}, max_length=20)

    @model_validator(mode="before")
    @classmethod
    def _name_after_id(cls, value: object) -> object:
        if isinstance(value, dict) and "name" not in value and "bot_id" in value:
            return {**value, "name": value["bot_id"]}
        return value

    def as_json(self) -> dict[str, Any]:
        """Return the object that, put again, makes the same bot."""
        overrides = {
            environment: part.model_dump(exclude_unset=True)
            for environment, part in self.overrides.items()
        }
        return {**self.model_dump(), "overrides": overrides}

    def in_environment(self, environment: str) -> Bot:
        """Return the bot with its override for ``environment`` laid over it."""
        override = self.overrides.get(environment.lower())
        if override is None:
            return self
        changes = override.model_dump(exclude_unset=True)
        changes["name"] = override.name or self.name
        merged = _merge(self.model_dump(exclude={"overrides"}), changes)
        # Not validated again: each field was.
        return Bot.model_construct(
            **{
                **merged,
                "ai_core": AiCore.model_construct(**merged["ai_core"]),
                "platform": Platform.model_construct(**merged["platform"]),
            }
        )


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


DEFAULT_BOT = Bot(bot_id=DEFAULT_BOT_ID, name="Default Bot")

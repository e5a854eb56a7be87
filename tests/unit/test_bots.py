from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from storage.bots import DEFAULT_BOT, Bot
from storage.effective_bot import effective
from storage.settings import Settings


def made(**fields: Any) -> Bot:
    return Bot.model_validate({"bot_id": "sales", **fields})


def test_a_bot_needs_no_more_than_its_id() -> None:
    bot = made()
    assert bot.name == "sales"
    assert bot.busy_policy == "merge"
    assert bot.context_messages == 20
    assert bot.yield_to_agent
    assert bot.after_transfer == "silent"


def test_unknown_fields_are_ignored() -> None:
    assert made(colour="blue", ai_core={"colour": "blue"}) == made()


@pytest.mark.parametrize(
    "fields",
    [
        {"bot_id": ""},
        {"bot_id": "x" * 256},
        {"bot_id": 5},
        {"name": None},
        {"name": "a\x00b"},
        {"name": "\ud800"},
        {"enabled": "yes"},
        {"busy_policy": "wait"},
        {"debounce_ms": -1},
        {"debounce_ms": 10_001},
        {"debounce_ms": 1.5},
        {"debounce_ms": True},
        {"debounce_max_ms": 60_001},
        {"context_messages": 201},
        {"context_messages": -1},
        {"context_messages": "20"},
        {"fallback_message": ""},
        {"fallback_message": " \n"},
        {"fallback_message": "x" * 32_769},
        {"yield_to_agent": 1},
        {"after_transfer": "loud"},
        {"handoff_timeout_minutes": -1},
        {"handoff_timeout_minutes": float("nan")},
        {"handoff_timeout_minutes": float("inf")},
        {"ai_core": "https://example.com"},
        {"ai_core": None},
        {"ai_core": {"url": "ftp://example.com"}},
        {"ai_core": {"url": "file:///etc/passwd"}},
        {"ai_core": {"url": "http://"}},
        {"ai_core": {"url": "http://example.com/?a=b"}},
        {"ai_core": {"url": "http://example.com\r\nHost: x"}},
        {"ai_core": {"path": "process"}},
        {"ai_core": {"path": "/a b"}},
        {"ai_core": {"timeout_seconds": 0}},
        {"ai_core": {"timeout_seconds": 3601}},
        {"ai_core": {"max_attempts": 0}},
        {"ai_core": {"max_attempts": 21}},
        {"ai_core": {"settings": {"a": "\x00"}}},
        {"ai_core": {"settings": {"a\x00": 1}}},
        {"ai_core": {"settings": {"a": 10**30}}},
        {"ai_core": {"settings": {"a": "x" * 70_000}}},
        {"ai_core": {"settings": []}},
        {"platform": {"base_url": "example.com"}},
        {"overrides": []},
        {"overrides": {"": {}}},
        {"overrides": {f"e{number}": {} for number in range(21)}},
        {"overrides": {"production": {"busy_policy": "wait"}}},
        {"overrides": {"production": {"ai_core": {"url": "gopher://example.com"}}}},
        {"overrides": {"production": {"ai_core": {"settings": {"a": float("inf")}}}}},
    ],
)
def test_what_is_wrong_or_out_of_bounds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**fields)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    bot = made(debounce_ms=500.0, ai_core={"max_attempts": 3.0})
    assert (bot.debounce_ms, bot.ai_core.max_attempts) == (500, 3)
    assert isinstance(bot.debounce_ms, int)


def test_it_reads_json_as_well() -> None:
    text = '{"bot_id": "b", "handoff_timeout_minutes": 5, "ai_core": {"timeout_seconds": 2}}'
    bot = Bot.model_validate_json(text)
    assert bot.handoff_timeout_minutes == 5
    assert bot.ai_core.timeout_seconds == 2


def test_what_is_shown_can_be_put_again() -> None:
    bot = made(
        busy_policy="queue",
        ai_core={"url": "https://ai.example.com", "settings": {"temperature": 0.2}},
        overrides={"Staging": {"busy_policy": "merge", "ai_core": {"model": "small"}}},
    )
    shown = json.loads(json.dumps(bot.as_json()))
    assert shown["overrides"] == {
        "staging": {"busy_policy": "merge", "ai_core": {"model": "small"}}
    }
    again = Bot.model_validate(shown)
    assert again.as_json() == bot.as_json()


def test_with_nothing_said_the_defaults_hold(settings: Settings) -> None:
    bot = effective(DEFAULT_BOT, "development", settings)
    assert (bot.bot_id, bot.name) == ("default", "Default Bot")
    assert bot.ai_url is None
    assert bot.platform_url is None
    assert bot.ai_timeout_seconds == 30
    assert bot.ai_max_attempts == 3


def test_each_layer_is_stronger_than_the_one_before(settings: Settings) -> None:
    settings = settings.model_copy(
        update={
            "ai_service_url": "http://env:1/",
            "ai_service_timeout": 11.0,
            "pancake_base_url": "http://env:2",
        }
    )
    plain = effective(made(), "production", settings)
    assert plain.ai_url == "http://env:1/process"
    assert plain.ai_timeout_seconds == 11
    assert plain.platform_url == "http://env:2/api/v1/actions"

    bot = made(
        busy_policy="queue",
        debounce_ms=500,
        handoff_timeout_minutes=2,
        ai_core={"url": "http://bot:1", "model": "large", "settings": {"a": 1, "b": {"c": 1}}},
        platform={"path": "/hook"},
        overrides={
            "production": {
                "busy_policy": "merge",
                "ai_core": {"path": "/v2", "settings": {"b": {"d": 2}}},
            },
            "staging": {"name": "Sales (staging)", "enabled": False},
        },
    )
    production = effective(bot, "Production", settings)
    assert production.busy_policy == "merge"
    assert production.name == "sales"
    assert production.debounce_seconds == 0.5
    assert production.handoff_timeout_seconds == 120
    assert production.ai_url == "http://bot:1/v2"
    assert production.ai_timeout_seconds == 11
    assert production.platform_url == "http://env:2/hook"
    assert json.loads(production.ai_description) == {
        "bot_id": "sales",
        "name": "sales",
        "model": "large",
        "system_prompt": None,
        "settings": {"a": 1, "b": {"c": 1, "d": 2}},
    }
    staging = effective(bot, "staging", settings)
    assert (staging.name, staging.enabled, staging.busy_policy) == (
        "Sales (staging)",
        False,
        "queue",
    )
    assert staging.ai_url == "http://bot:1/process"


def test_an_override_may_lift_what_the_bot_says(settings: Settings) -> None:
    bot = made(
        fallback_message="Sorry",
        ai_core={"url": "http://bot:1"},
        overrides={"development": {"fallback_message": None, "ai_core": {"url": None}}},
    )
    lifted = effective(bot, "development", settings)
    assert lifted.fallback_message is None
    assert lifted.ai_url is None


def test_what_holds_is_a_value(settings: Settings) -> None:
    bot = effective(DEFAULT_BOT, "development", settings)
    assert pickle.loads(pickle.dumps(bot)) == bot  # noqa: S301 - made a moment ago
    assert hash(bot) == hash(effective(DEFAULT_BOT, "development", settings))
    with pytest.raises(dataclasses.FrozenInstanceError):
        bot.name = "other"  # type: ignore[misc]

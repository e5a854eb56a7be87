from __future__ import annotations

import dataclasses
import socket

import hypothesis
import pytest

from storage.bots import DEFAULT_BOT
from storage.effective_bot import EffectiveBot, effective
from storage.settings import Settings

# A busy machine is no reason to fail.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("AI_SERVICE_URL", "PANCAKE_BASE_URL", "PANCAKE_API_TOKEN", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return Settings(_env_file=None)


@pytest.fixture
def bot(settings: Settings) -> EffectiveBot:
    """The built-in bot with one attempt of a second for its AI."""
    built_in = effective(DEFAULT_BOT, "development", settings)
    return dataclasses.replace(built_in, ai_timeout_seconds=1.0, ai_max_attempts=1)


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port

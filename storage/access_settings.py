"""The settings that say who may call: tokens, keys and secrets, each with its predecessor."""

from __future__ import annotations

import secrets
from typing import Any, Self

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings

from storage.setting_types import WebhookSecret
from storage.tokens import SHORTEST_JWT_SECRET, weakness_of

__all__ = ["ACCESS_FIELDS", "AccessSettings"]

_MESSAGES_TOKENS = ("pancake_access_token", "pancake_access_token_previous")
_ADMIN_TOKENS = ("admin_access_token", "admin_access_token_previous")
_NEEDED = ("pancake_access_token", "admin_access_token")
"""A server without them makes them up, or does not start."""
_TOKENS = (*_NEEDED, "pancake_access_token_previous", "admin_access_token_previous")
_JWT_SECRETS = ("jwt_secret", "jwt_secret_previous")


class AccessSettings(BaseSettings):
    """What a caller has to show. ``…_previous`` is valid beside the other, while one is replaced.

    Only HTTP instances need any of it, and they take changes of it while they run.
    """

    pancake_access_token: SecretStr | None = None
    pancake_access_token_previous: SecretStr | None = None
    admin_access_token: SecretStr | None = None
    admin_access_token_previous: SecretStr | None = None
    jwt_secret: SecretStr | None = None
    jwt_secret_previous: SecretStr | None = None
    jwt_public_key: str | None = None
    jwt_public_key_previous: str | None = None
    webhook_secret: WebhookSecret | None = None
    """Set: messages must be signed with it, as Standard Webhooks says."""
    webhook_secret_previous: WebhookSecret | None = None

    @field_validator("jwt_public_key", "jwt_public_key_previous")
    @classmethod
    def _unfold_key(cls, value: str | None) -> str | None:
        return value.replace("\\n", "\n") if value else value

    def access_problems(self) -> list[str]:
        """Return what production refuses about them; no text shows a value."""
        problems = [
            f"{name.upper()}: {problem}"
            for name in _TOKENS
            if (name in _NEEDED or self._has(name))
            and (problem := weakness_of(getattr(self, name)))
        ]
        problems += [
            f"{name.upper()}: {problem}"
            for name in _JWT_SECRETS
            if self._has(name)
            and (problem := weakness_of(getattr(self, name), SHORTEST_JWT_SECRET))
        ]
        messages = {getattr(self, name) for name in _MESSAGES_TOKENS if self._has(name)}
        if not problems:
            problems += [
                f"{name.upper()}: must differ from PANCAKE_ACCESS_TOKEN"
                for name in _ADMIN_TOKENS
                if getattr(self, name) in messages
            ]
        return problems

    def with_generated_tokens(self) -> tuple[Self, dict[str, str]]:
        """Fill in missing tokens; also return those made, by variable, to be shown."""
        made = {name: secrets.token_urlsafe(24) for name in _NEEDED if not self._has(name)}
        copy = self.model_copy(update={name: SecretStr(token) for name, token in made.items()})
        return copy, {name.upper(): token for name, token in made.items()}

    def with_access_of(self, newer: AccessSettings) -> Self:
        """Return these settings with the tokens of others; a token that those lack is kept."""
        update: dict[str, Any] = {
            name: getattr(newer, name)
            for name in ACCESS_FIELDS
            if newer._has(name) or name not in _NEEDED
        }
        return self.model_copy(update=update)

    def without_access(self) -> Self:
        """Return these settings for a process that nobody shows a token."""
        return self.model_copy(update=dict.fromkeys(ACCESS_FIELDS))

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None


ACCESS_FIELDS = tuple(AccessSettings.model_fields)

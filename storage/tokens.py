"""What makes a secret too weak for production."""

from __future__ import annotations

import re

from pydantic import SecretStr

__all__ = ["SHORTEST_JWT_SECRET", "SHORTEST_TOKEN", "weakness_of"]

SHORTEST_TOKEN = 8
SHORTEST_JWT_SECRET = 32
_FEWEST_DIFFERENT_CHARACTERS = 6
_WELL_KNOWN = re.compile(
    r"^your[-_ ]|[-_ ]here$|change[-_ ]?(me|it|this)|replace[-_ ]?(me|this|with)"
    r"|placeholder|example"
    # Nothing but the words that every example is made of.
    r"|^((dev|test|default|demo|sample|admin|pancake|access|secret|token|password|key)[-_ ]?)+\d*$"
    r"|^(0?123456789|abcdefgh|qwerty|deadbeef)",
    re.IGNORECASE,
)


def weakness_of(secret: SecretStr | None, shortest: int = SHORTEST_TOKEN) -> str | None:
    """Return what is wrong with a secret, without showing it; None if nothing is."""
    if secret is None:
        return "must be set in production"
    value = secret.get_secret_value()
    if len(value) < shortest:
        return f"must have at least {shortest} characters in production"
    if _WELL_KNOWN.search(value) or len(set(value)) < _FEWEST_DIFFERENT_CHARACTERS:
        return "is a well-known or guessable value, refused in production"
    return None

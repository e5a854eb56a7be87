"""Who may do what: fixed tokens, and JWTs that any instance can check by itself."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretStr

from ingress.errors import Forbidden, Unauthorized
from storage.access_settings import AccessSettings

__all__ = ["AUDIENCE", "Authenticator", "Principal", "Scope"]

AUDIENCE = "chat-orchestrator"
_LONGEST_TOKEN_BYTES = 8192
_BAD_TOKEN = "The token is not valid"  # noqa: S105 (an error text)
_LONGEST_SUBJECT = 128


class Scope(StrEnum):
    """What a token is good for; ``ADMIN`` includes ``MESSAGES``."""

    MESSAGES = "messages"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever holds a token."""

    key: str
    """Hash of the token: tells principals apart and may be kept."""
    scopes: frozenset[Scope]
    name: str
    """Which token it is, by its variable, or ``jwt:`` and its subject: fit for a log."""

    def require(self, scope: Scope) -> None:
        """Raise ``Forbidden`` unless the scope is held."""
        if scope not in self.scopes:
            raise Forbidden(f"The token lacks the scope '{scope.value}'")


_ALL = frozenset(Scope)
_MESSAGES = frozenset({Scope.MESSAGES})
_NONE: frozenset[Scope] = frozenset()


@dataclass(frozen=True, slots=True)
class _Known:
    """What tokens are checked against, replaced as a whole."""

    tokens: tuple[tuple[bytes, frozenset[Scope], str], ...]
    """Hash, scopes and name of each: the tokens themselves are not kept."""
    keys: Mapping[str, tuple[Any, ...]]
    """Of JWTs, by algorithm."""


class Authenticator:
    """Checks the ``Authorization`` header. Raises ``ValueError`` for an unusable public key."""

    def __init__(self, settings: AccessSettings) -> None:
        self._known = _known_of(settings)

    def renew(self, settings: AccessSettings) -> None:
        """Go by other tokens from now on. Raises ``ValueError``; then all is as before."""
        self._known = _known_of(settings)

    def authenticate(self, header: bytes | None) -> Principal:
        """Return who it is. Raises ``Unauthorized``."""
        token = _bearer_token(header)
        digest = hashlib.sha256(token).digest()
        known = self._known
        found: tuple[frozenset[Scope], str] | None = None
        # All are compared always, and as hashes, so that the time taken tells nothing.
        for expected, scopes, name in known.tokens:
            if hmac.compare_digest(digest, expected):
                found = scopes, name
        scopes, name = found or _of_jwt(token, known.keys)
        return Principal(digest.hex(), scopes, name)


def _known_of(settings: AccessSettings) -> _Known:
    tokens = [
        # The last that fits counts: where one token stands for both, it is the admin's.
        (settings.pancake_access_token_previous, _MESSAGES, "PANCAKE_ACCESS_TOKEN_PREVIOUS"),
        (settings.pancake_access_token, _MESSAGES, "PANCAKE_ACCESS_TOKEN"),
        (settings.admin_access_token_previous, _ALL, "ADMIN_ACCESS_TOKEN_PREVIOUS"),
        (settings.admin_access_token, _ALL, "ADMIN_ACCESS_TOKEN"),
    ]
    keys: dict[str, list[Any]] = {}
    for secret in (settings.jwt_secret, settings.jwt_secret_previous):
        if secret is not None:
            keys.setdefault("HS256", []).append(secret.get_secret_value())
    for pem in (settings.jwt_public_key, settings.jwt_public_key_previous):
        if pem is not None:
            algorithm, key = _public_key(pem)
            keys.setdefault(algorithm, []).append(key)
    return _Known(
        tokens=tuple(
            (_digest_of(token), scopes, name)
            for token, scopes, name in tokens
            if token is not None and token.get_secret_value()
        ),
        keys={algorithm: tuple(them) for algorithm, them in keys.items()},
    )


def _of_jwt(token: bytes, keys: Mapping[str, tuple[Any, ...]]) -> tuple[frozenset[Scope], str]:
    try:
        text = token.decode("ascii")
        algorithm = jwt.get_unverified_header(text).get("alg")
        if not isinstance(algorithm, str):
            raise Unauthorized(_BAD_TOKEN)
        # The algorithm picks its own keys: a public key can never be taken for a secret.
        claims = _claims(text, algorithm, keys.get(algorithm, ()))
    except jwt.ExpiredSignatureError:
        raise Unauthorized("The token has expired") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise Unauthorized(_BAD_TOKEN) from None
    return _scopes(claims.get("scope")), _name(claims.get("sub"))


def _claims(text: str, algorithm: str, keys: tuple[Any, ...]) -> dict[str, Any]:
    for key in keys:
        try:
            return jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                leeway=0,
                options={"require": ["exp", "aud"]},
            )
        except jwt.InvalidSignatureError:
            continue  # it may be the other's
    raise Unauthorized(_BAD_TOKEN)


def _bearer_token(header: bytes | None) -> bytes:
    if header is None:
        raise Unauthorized("A bearer token is required")
    scheme, _, token = header.strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token:
        raise Unauthorized("A bearer token is required")
    if len(token) > _LONGEST_TOKEN_BYTES:
        raise Unauthorized(_BAD_TOKEN)
    return token


def _digest_of(token: SecretStr) -> bytes:
    return hashlib.sha256(token.get_secret_value().encode()).digest()


def _public_key(pem: str) -> tuple[str, Any]:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):  # which say nothing of the setting
        key = None
    if isinstance(key, RSAPublicKey):
        return "RS256", key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256", key
    raise ValueError("JWT_PUBLIC_KEY must be an RSA or a P-256 key")


def _scopes(claim: object) -> frozenset[Scope]:
    names = claim.split(" ") if isinstance(claim, str) else []
    if Scope.ADMIN in names:
        return _ALL
    return _MESSAGES if Scope.MESSAGES in names else _NONE


def _name(subject: object) -> str:
    if not isinstance(subject, str) or not subject:
        return "jwt"
    # JSON can hold lone surrogates, which no line of a log can.
    return "jwt:" + subject[:_LONGEST_SUBJECT].encode(errors="backslashreplace").decode()

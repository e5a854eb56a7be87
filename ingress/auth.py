"""Who may do what: two fixed tokens, and JWTs that any instance can check by itself."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretStr

from ingress.errors import Forbidden, Unauthorized
from storage.settings import Settings

__all__ = ["AUDIENCE", "Authenticator", "Principal", "Scope"]

AUDIENCE = "chat-orchestrator"
_LONGEST_TOKEN_BYTES = 8192
_BAD_TOKEN = "The token is not valid"  # noqa: S105 (an error text)
_HASH_BYTES = 32


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

    def require(self, scope: Scope) -> None:
        """Raise ``Forbidden`` unless the scope is held."""
        if scope not in self.scopes:
            raise Forbidden(f"The token lacks the scope '{scope.value}'")


_ALL = frozenset(Scope)
_MESSAGES = frozenset({Scope.MESSAGES})
_NONE: frozenset[Scope] = frozenset()


class Authenticator:
    """Checks the ``Authorization`` header. Raises ``ValueError`` for an unusable public key."""

    def __init__(self, settings: Settings) -> None:
        self._messages_digest = _digest_of(settings.pancake_access_token)
        self._admin_digest = _digest_of(settings.admin_access_token)
        self._keys: dict[str, Any] = {}
        if settings.jwt_secret is not None:
            self._keys["HS256"] = settings.jwt_secret.get_secret_value()
        if settings.jwt_public_key is not None:
            self._keys.update(_public_key(settings.jwt_public_key))

    def authenticate(self, header: bytes | None) -> Principal:
        """Return who it is. Raises ``Unauthorized``."""
        token = _bearer_token(header)
        digest = hashlib.sha256(token).digest()
        # Both are compared always, and as hashes, so that the time taken tells nothing.
        is_messages = hmac.compare_digest(digest, self._messages_digest)
        is_admin = hmac.compare_digest(digest, self._admin_digest)
        if is_admin:
            scopes = _ALL
        elif is_messages:
            scopes = _MESSAGES
        else:
            scopes = self._scopes_of_jwt(token)
        return Principal(digest.hex(), scopes)

    def _scopes_of_jwt(self, token: bytes) -> frozenset[Scope]:
        try:
            text = token.decode("ascii")
            algorithm = jwt.get_unverified_header(text).get("alg")
            # The algorithm picks its own key: a public key can never be taken for a secret.
            key = self._keys.get(algorithm) if isinstance(algorithm, str) else None
            if key is None or not isinstance(algorithm, str):
                raise Unauthorized(_BAD_TOKEN)
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                leeway=0,
                options={"require": ["exp", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("The token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized(_BAD_TOKEN) from None
        return _scopes(claims.get("scope"))


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


def _digest_of(token: SecretStr | None) -> bytes:
    """Return the hash of a token; of none, something no token's hash is equal to."""
    value = token.get_secret_value().encode() if token is not None else b""
    return hashlib.sha256(value).digest() if value else bytes(_HASH_BYTES)


def _public_key(pem: str) -> dict[str, Any]:
    key = load_pem_public_key(pem.encode())
    if isinstance(key, RSAPublicKey):
        return {"RS256": key}
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return {"ES256": key}
    raise ValueError("JWT_PUBLIC_KEY must be an RSA or a P-256 key")


def _scopes(claim: object) -> frozenset[Scope]:
    names = claim.split(" ") if isinstance(claim, str) else []
    if Scope.ADMIN in names:
        return _ALL
    return _MESSAGES if Scope.MESSAGES in names else _NONE

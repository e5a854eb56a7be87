"""Signatures of messages, by the Standard Webhooks specification.

The sender signs ``id.timestamp.body`` with a secret that both know. So nobody between can change
the body, nor send it later (the timestamp), nor have it taken for another one (the id).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import time
from collections.abc import Callable

from pydantic import SecretStr
from starlette.datastructures import Headers

from ingress.errors import InvalidSignature
from storage.access_settings import AccessSettings
from storage.setting_types import WEBHOOK_SECRET_PREFIX

__all__ = ["TOLERANCE_SECONDS", "WebhookSignatures"]

TOLERANCE_SECONDS = 300
"""How far from now a message may have been signed; the public libraries have the same."""
_LONGEST_ID = 255
"""It becomes the identity of a message."""
_LONGEST_TIMESTAMP = 15
_MOST_SIGNATURES = 10
"""A sender that changes its secret sends two."""
_VERSION = "v1,"


class WebhookSignatures:
    """Checks signatures, if there is a secret. ``clock`` gives seconds since 1970."""

    def __init__(self, settings: AccessSettings, clock: Callable[[], float] = time.time) -> None:
        self._keys = _keys_of(settings)
        self._clock = clock

    @property
    def are_needed(self) -> bool:
        """Whether messages must be signed."""
        return bool(self._keys)

    def renew(self, settings: AccessSettings) -> None:
        """Go by other secrets from now on."""
        self._keys = _keys_of(settings)

    def check(self, headers: Headers, body: bytes) -> str:
        """Return the id of a webhook, as its sender signed it. Raises ``InvalidSignature``.

        A sender that tries again uses the id again: whoever takes the message sees to it that
        the same id has no further effect.
        """
        webhook_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        given = headers.get("webhook-signature", "")
        if not (webhook_id and timestamp and given):
            raise InvalidSignature("webhook-id, webhook-timestamp and webhook-signature are needed")
        if len(webhook_id) > _LONGEST_ID or not (webhook_id.isascii() and webhook_id.isprintable()):
            raise InvalidSignature(f"webhook-id must be 1 to {_LONGEST_ID} ASCII characters")
        self._check_time(timestamp)
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        if not self._is_signed(signed, given):
            raise InvalidSignature("The signature is not valid")
        return webhook_id

    def _check_time(self, timestamp: str) -> None:
        is_number = timestamp.isascii() and timestamp.isdigit()
        if not is_number or len(timestamp) > _LONGEST_TIMESTAMP:
            raise InvalidSignature("webhook-timestamp must be in seconds since 1970")
        if abs(self._clock() - int(timestamp)) > TOLERANCE_SECONDS:
            raise InvalidSignature("webhook-timestamp is too far from now")

    def _is_signed(self, signed: bytes, given: str) -> bool:
        expected = [hmac.digest(key, signed, hashlib.sha256) for key in self._keys]
        is_valid = False
        for signature in given.split(" ")[:_MOST_SIGNATURES]:
            shown = _decoded(signature)
            # All are compared always, so that the time taken tells nothing.
            for it in expected:
                is_valid |= hmac.compare_digest(shown, it)
        return is_valid


def _decoded(signature: str) -> bytes:
    """Return the bytes of a signature; none where it is of another version, or garbled."""
    if not signature.startswith(_VERSION):
        return b""
    try:
        return binascii.a2b_base64(signature.removeprefix(_VERSION), strict_mode=True)
    except (binascii.Error, ValueError):
        return b""


def _keys_of(settings: AccessSettings) -> tuple[bytes, ...]:
    """Return the keys; the previous one alone counts for nothing."""
    if settings.webhook_secret is None:
        return ()
    both = (settings.webhook_secret, settings.webhook_secret_previous)
    return tuple(_key_of(secret) for secret in both if secret is not None)


def _key_of(secret: SecretStr) -> bytes:
    return binascii.a2b_base64(secret.get_secret_value().removeprefix(WEBHOOK_SECRET_PREFIX))

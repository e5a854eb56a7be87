"""Signed messages: what the public library signs is taken, and nothing else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook
from starlette.datastructures import Headers

from ingress.errors import InvalidSignature
from ingress.webhook_signature import TOLERANCE_SECONDS, WebhookSignatures
from storage.settings import InvalidSettings, Settings, load_settings
from tests.unit.ingress.conftest import ADMIN_TOKEN, CHAT, ENHANCED, MESSAGES_TOKEN, World

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = b'{"text": "Xin ch\xc3\xa0o"}'


def signed(
    body: bytes, secret: str = SECRET, at: datetime | None = None, webhook_id: str = "msg_1"
) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, body.decode()),
    }


def signatures(settings: Settings, **update: str) -> WebhookSignatures:
    secrets = {name: SecretStr(value) for name, value in update.items()}
    return WebhookSignatures(settings.model_copy(update=secrets), NOW.timestamp)


@pytest.fixture
def checks(settings: Settings) -> WebhookSignatures:
    return signatures(settings, webhook_secret=SECRET)


def test_a_signature_of_the_public_library_is_taken(checks: WebhookSignatures) -> None:
    assert checks.check(Headers(signed(BODY, at=NOW)), BODY) == "msg_1"


def test_the_public_library_agrees_on_what_is_valid() -> None:
    headers = signed(BODY)
    Webhook(SECRET).verify(BODY.decode(), headers)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": "nonsense"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 256},
        {"webhook-id": "msg\t1"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "²"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "-1"},
        {"webhook-signature": ""},
    ],
)
def test_what_was_changed_on_its_way_is_refused(
    checks: WebhookSignatures, change: dict[str, str]
) -> None:
    with pytest.raises(InvalidSignature):
        checks.check(Headers(signed(BODY, at=NOW) | change), BODY)


def test_another_body_is_refused(checks: WebhookSignatures) -> None:
    with pytest.raises(InvalidSignature):
        checks.check(Headers(signed(BODY, at=NOW)), BODY + b" ")


def test_a_signature_of_another_secret_or_version_is_refused(checks: WebhookSignatures) -> None:
    good = signed(BODY, at=NOW)
    for signature in (
        signed(BODY, OTHER, NOW)["webhook-signature"],
        good["webhook-signature"].replace("v1,", "v1a,"),
        good["webhook-signature"].removeprefix("v1,"),
    ):
        with pytest.raises(InvalidSignature):
            checks.check(Headers(good | {"webhook-signature": signature}), BODY)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_clock_may_be_off_by_minutes_only(checks: WebhookSignatures, sign: int) -> None:
    within = NOW + sign * timedelta(seconds=TOLERANCE_SECONDS)
    assert checks.check(Headers(signed(BODY, at=within)), BODY)
    with pytest.raises(InvalidSignature, match="too far"):
        checks.check(Headers(signed(BODY, at=within + timedelta(seconds=sign))), BODY)


def test_two_secrets_hold_while_one_is_replaced(settings: Settings) -> None:
    both = signatures(settings, webhook_secret=OTHER, webhook_secret_previous=SECRET)
    for secret in (SECRET, OTHER):
        assert both.check(Headers(signed(BODY, secret, NOW)), BODY)
    # A sender that replaces its own sends both signatures.
    parts = [signed(BODY, secret, NOW)["webhook-signature"] for secret in (OTHER, SECRET)]
    headers = signed(BODY, at=NOW) | {"webhook-signature": " ".join(["v1a,x", *parts])}
    assert signatures(settings, webhook_secret=SECRET).check(Headers(headers), BODY)


def test_a_secret_without_its_prefix_is_the_same_secret(settings: Settings) -> None:
    bare = signatures(settings, webhook_secret=SECRET.removeprefix("whsec_"))
    assert bare.check(Headers(signed(BODY, at=NOW)), BODY)


@pytest.mark.parametrize("secret", ["whsec_eA", "short", "whsec_c2hvcnQ=", "whsec_%%%", "é" * 40])
def test_a_secret_that_is_none_is_said_at_the_start(secret: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^WEBHOOK_SECRET: is whsec_") as caught:
        load_settings(webhook_secret=secret)
    assert secret not in str(caught.value)


@pytest.fixture
async def guarded(world: World) -> Any:
    async with world.client_with(webhook_secret=SecretStr(SECRET)) as client:
        client.headers["Authorization"] = f"Bearer {MESSAGES_TOKEN}"
        client.headers["Content-Type"] = "application/json"
        yield client


async def test_an_unsigned_message_is_401_and_not_stored(
    world: World, guarded: httpx.AsyncClient, enhanced_body: dict[str, Any]
) -> None:
    for path, body in ((ENHANCED, enhanced_body), (CHAT, {"history": "<USER>Hi</USER>"})):
        answer = await guarded.post(path, json=body)
        assert answer.status_code == 401
        assert answer.json()["code"] == "invalid_signature"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert not world.gateway.accepted


async def test_a_signature_is_no_token(
    guarded: httpx.AsyncClient, enhanced_body: dict[str, Any]
) -> None:
    body = orjson.dumps(enhanced_body)
    headers = signed(body) | {"Authorization": "Bearer wrong"}
    answer = await guarded.post(ENHANCED, content=body, headers=headers)
    assert answer.json()["code"] == "unauthorized"


async def test_the_bytes_as_they_came_are_what_is_signed(
    guarded: httpx.AsyncClient, enhanced_body: dict[str, Any]
) -> None:
    body = orjson.dumps(enhanced_body, option=orjson.OPT_INDENT_2)
    assert (await guarded.post(ENHANCED, content=body, headers=signed(body))).status_code == 200
    other = orjson.dumps(enhanced_body)
    assert (await guarded.post(ENHANCED, content=other, headers=signed(body))).status_code == 401


async def test_a_chat_message_sent_again_is_the_same_message(
    world: World, guarded: httpx.AsyncClient
) -> None:
    # Not even by somebody who adds a key that was not signed.
    body = b'{"history": "<USER>Hi</USER>"}'
    headers = signed(body)
    for key in ({}, {"Idempotency-Key": "another"}):
        answer = await guarded.post(CHAT, content=body, headers=headers | key)
        assert answer.status_code == 200
    first, second = world.gateway.accepted
    assert (first.conversation_id, first.message_id) == (
        second.conversation_id,
        second.message_id,
    )
    assert first.message_id == "msg_1"


async def test_nothing_but_messages_needs_a_signature(guarded: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    assert (await guarded.get("/api/v1/admin/bots", headers=headers)).status_code == 200


async def test_without_a_secret_signatures_are_not_looked_at(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    headers = {"webhook-id": "x", "webhook-timestamp": "x", "webhook-signature": "x"}
    assert (await world.post(ENHANCED, enhanced_body, headers=headers)).status_code == 200

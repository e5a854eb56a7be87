"""Long messages that wait are read a few at a time, however many there are."""

from __future__ import annotations

import secrets

import pytest

from storage import claims
from storage.postgres import Database
from tests.storage.client import Client, claim, message


@pytest.fixture(autouse=True)
def few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "MOST_PENDING_BYTES", 10_000)


async def test_a_claim_brings_the_oldest_that_fit_and_says_that_there_are_more(
    client: Client,
) -> None:
    await client.accept(*(message("c", f"m{n}", content="x" * 4_000) for n in range(6)))
    answer = await client.claim(claim("c"))
    assert [it.message_id for it in answer.messages] == ["m0", "m1", "m2"]
    assert answer.has_more


async def test_one_that_is_too_long_alone_comes_alone(client: Client) -> None:
    await client.accept(*(message("c", f"m{n}", content="ế" * 9_000) for n in range(2)))
    answer = await client.claim(claim("c"))
    assert [it.message_id for it in answer.messages] == ["m0"]
    assert answer.has_more


async def test_what_comes_beside_the_text_counts_too(client: Client) -> None:
    # Random, or it would be stored compressed.
    context = f'[{{"role": "user", "content": "{secrets.token_urlsafe(12_000)}"}}]'
    await client.accept(*(message("c", f"m{n}", context=context) for n in range(3)))
    answer = await client.claim(claim("c"))
    assert len(answer.messages) < 3
    assert answer.has_more


async def test_where_all_fit_there_are_no_more(client: Client, database: Database) -> None:
    await client.accept(*(message("c", f"m{n}") for n in range(3)), message("d", "m"))
    found = await claims.read_pending_messages(database, ["c", "d", "e"], [3, 3, 3])
    assert [len(found[key].messages) for key in ("c", "d")] == [3, 1]
    assert not any(it.has_more for it in found.values())
    assert "e" not in found
    (few,) = (await claims.read_pending_messages(database, ["c"], [2])).values()
    assert [it.message_id for it in few.messages] == ["m0", "m1"]
    assert few.has_more

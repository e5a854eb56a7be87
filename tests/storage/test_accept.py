from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import cast

import pytest

from storage.accept import accept_messages
from storage.postgres import Database, Row, Session, queries
from storage.records import Accepted, AcceptOutcome, FencedOutcome, JobStatus, NewMessage
from storage.writer import StorageWriter
from tests.storage.client import (
    Client,
    claim,
    commit,
    message,
    rejection,
    turn,
)

ACCEPTED, DUPLICATE = AcceptOutcome.ACCEPTED, AcceptOutcome.DUPLICATE
REVIVED, REFUSED = AcceptOutcome.REVIVED, AcceptOutcome.REFUSED


async def rows(database: Database, sql: str, *arguments: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await database.fetch(sql, *arguments)]


async def test_a_new_message_is_stored_with_its_conversation_and_job(
    client: Client, database: Database
) -> None:
    sent = message("c1", metadata='{"bot_id": "b"}', attachments='[{"url": "x"}]')
    accepted = await client.accept_one(sent)
    assert accepted.outcome is ACCEPTED
    assert (accepted.job_id, accepted.message_id) == (sent.job_id, "m1")
    assert (accepted.epoch, accepted.conversation_status) == (0, "active")
    assert accepted.content == sent.content
    (job,) = await database.fetch("select * from jobs")
    assert (str(job["id"]), job["status"], job["message_ids"]) == (sent.job_id, "queued", ["m1"])
    stored = await rows(database, "select metadata::text, attachments::text from messages")
    assert stored == [('{"bot_id": "b"}', '[{"url": "x"}]')]


async def test_the_conversation_counts_only_what_is_new_and_names_the_last(
    client: Client, database: Database
) -> None:
    await client.accept(message("c1", "z", timestamp=1.0), message("c1", "a", timestamp=2.0))
    await client.accept(message("c1", "z", timestamp=3.0))
    found = await rows(
        database,
        "select total_messages, last_message_id, last_message_timestamp from conversations",
    )
    assert found == [(2, "a", 2.0)]


async def test_sequence_follows_arrival_whatever_the_ids(client: Client) -> None:
    ids = [f"m{number}" for number in range(20)]
    random.Random(3).shuffle(ids)
    accepted = await client.accept(*(message("c1", each) for each in ids))
    assert [each.seq for each in accepted] == sorted(each.seq for each in accepted)
    assert [each.unfinished_jobs for each in accepted] == list(range(20))
    again = await client.accept_one(message("c1", "another"))
    assert again.unfinished_jobs == 20


async def test_an_accepted_message_names_the_one_accepted_before_it(client: Client) -> None:
    first, other, second = await client.accept(
        message("c1", "a"), message("c2", "a"), message("c1", "b")
    )
    assert (first.previous_seq, other.previous_seq) == (0, 0)
    assert second.previous_seq == first.seq
    (third, again) = await client.accept(message("c1", "c"), message("c1", "a"))
    assert third.previous_seq == second.seq
    assert again.outcome is DUPLICATE
    claimed = await client.claim(claim("c1"))
    assert claimed.last_seq == third.seq


async def test_what_is_revived_is_the_latest(client: Client) -> None:
    (first,) = await client.accept(message("c1", "a"))
    await client.claim(claim("c1"))
    assert await client.do(rejection("c1", "a", first.job_id)) is FencedOutcome.DONE
    (revived,) = await client.accept(message("c1", "a"))
    assert revived.outcome is REVIVED
    (second,) = await client.accept(message("c1", "b"))
    assert second.previous_seq == revived.seq > first.seq


async def test_writers_of_one_conversation_draw_sequences_in_the_order_of_their_commits(
    client: Client, database_url: str, database: Database
) -> None:
    writers = [StorageWriter(database_url, max_batch=3) for _ in range(3)]
    clients = [Client(writer) for writer in writers]

    async def send(sender: Client, name: str) -> list[tuple[int, int]]:
        sent = []
        for number in range(40):
            (accepted,) = await sender.accept(message("c1", f"{name}{number}"))
            sent.append((accepted.seq, accepted.previous_seq))
        return sent

    answers = await asyncio.gather(*(send(it, f"{at}/") for at, it in enumerate(clients)))
    chain = sorted(pair for sent in answers for pair in sent)
    assert [previous for _, previous in chain] == [0, *(seq for seq, _ in chain[:-1])]
    for writer in writers:
        await writer.close()


async def test_the_same_message_twice_in_one_batch_is_stored_once(client: Client) -> None:
    first, second = await client.accept(message("c1"), message("c1", content="other"))
    assert (first.outcome, second.outcome) == (ACCEPTED, DUPLICATE)
    assert second.job_id == first.job_id
    assert (second.content, second.seq) == (first.content, first.seq)


async def test_repeating_an_unanswered_accept_finds_its_own_job(client: Client) -> None:
    sent = message("c1")
    await client.accept_one(sent)
    again = await client.accept_one(sent)
    assert (again.outcome, again.job_id, again.job_status) == (
        DUPLICATE,
        sent.job_id,
        JobStatus.QUEUED,
    )


async def test_a_duplicate_names_the_job_that_answers(client: Client) -> None:
    job_id = await client.owned_job("c1", "m1", "m2")
    duplicate = await client.accept_one(message("c1", "m2"))
    assert (duplicate.job_id, duplicate.job_status) == (job_id, JobStatus.PROCESSING)
    assert duplicate.epoch == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"content": "nul \x00 byte"},
        {"metadata": '{"key": "\\u0000"}'},
        {"metadata": "no json"},
        {"job_id": "no uuid"},
    ],
)
async def test_a_bad_row_is_refused_alone(
    client: Client, database: Database, bad: dict[str, str]
) -> None:
    good = [message(f"c{number}") for number in range(9)]
    sent = [*good[:5], message("bad", **bad), *good[5:]]
    accepted = await client.accept(*sent)
    outcomes = [each.outcome for each in accepted]
    assert outcomes == [ACCEPTED] * 5 + [REFUSED] + [ACCEPTED] * 4
    assert accepted[5].error
    assert "nul" not in accepted[5].error
    found = await rows(database, "select conversation_id from conversations order by 1")
    assert found == [(f"c{number}",) for number in range(9)]


async def test_a_rejected_message_is_revived_by_one_winner(
    client: Client, database: Database
) -> None:
    rejected = await client.accept_one(message("c1"))
    await client.claim(claim("c1"))
    assert await client.do(rejection("c1", "m1", rejected.job_id)) is FencedOutcome.DONE
    answers = await asyncio.gather(*(client.accept(message("c1"), message("c1")) for _ in range(4)))
    accepted = [each for answer in answers for each in answer]
    (winner,) = [each for each in accepted if each.outcome is REVIVED]
    assert winner.job_id != rejected.job_id
    assert winner.job_status is JobStatus.QUEUED
    others = [each for each in accepted if each is not winner]
    assert {(each.outcome, each.job_id) for each in others} == {(DUPLICATE, winner.job_id)}
    jobs = await rows(database, "select id::text, status from jobs order by status")
    assert jobs == [(winner.job_id, "queued"), (rejected.job_id, "rejected")]
    start = turn("c1", winner.job_id, "m1")
    assert await client.do(start) is FencedOutcome.DONE


async def test_writers_with_the_same_messages_in_other_orders_never_deadlock(
    client: Client, database_url: str, database: Database
) -> None:
    writers = [StorageWriter(database_url, max_batch=40) for _ in range(3)]
    clients = [Client(writer) for writer in writers]
    schedule = random.Random(7)
    keys = [(f"c{number % 12}", f"m{number}") for number in range(240)]

    async def send_all(sender: Client) -> list[AcceptOutcome]:
        shuffled = keys.copy()
        schedule.shuffle(shuffled)
        answers = await asyncio.gather(
            *(
                sender.accept(*(message(*key) for key in shuffled[at : at + 7]))
                for at in range(0, len(shuffled), 7)
            )
        )
        return [each.outcome for answer in answers for each in answer]

    outcomes = [each for sent in await asyncio.gather(*map(send_all, clients)) for each in sent]
    assert outcomes.count(ACCEPTED) == len(keys)
    assert outcomes.count(DUPLICATE) == 2 * len(keys)
    totals = await rows(database, "select sum(total_messages)::int from conversations")
    assert totals == [(len(keys),)]
    deadlocks = await rows(
        database, "select deadlocks from pg_stat_database where datname = current_database()"
    )
    assert deadlocks == [(0,)]
    for writer in writers:
        await writer.close()


async def test_a_digest_holds_while_its_job_is_not_final_and_a_minute_longer(
    client: Client, database: Database
) -> None:
    first = await client.accept_one(message("c1", None, digest="abc", parts=["hello"]))
    assert (first.outcome, first.message_id) == (ACCEPTED, "abc")
    await database.fetch("update messages set accepted_at = now() - interval '2 hours'")
    again = await client.accept_one(message("c1", None, digest="abc", parts=["hello"]))
    assert (again.outcome, again.job_id) == (DUPLICATE, first.job_id)

    await client.claim(claim("c1"))
    await client.do(commit("c1", first.job_id, "abc", delivery_body=None))
    await database.fetch("update messages set accepted_at = now() - interval '59 seconds'")
    again = await client.accept_one(message("c1", None, digest="abc", parts=["hello"]))
    assert (again.outcome, again.job_status) == (DUPLICATE, JobStatus.COMPLETED)

    await database.fetch("update messages set accepted_at = now() - interval '61 seconds'")
    later = await client.accept_one(message("c1", None, digest="abc", parts=["hello"]))
    assert (later.outcome, later.message_id) == (ACCEPTED, "abc.2")
    again = await client.accept_one(message("c1", None, digest="abc", parts=["hello"]))
    assert (again.outcome, again.message_id) == (DUPLICATE, "abc.2")


async def test_ids_near_a_digest_are_not_taken_for_it(client: Client) -> None:
    for other in ("abc-1", "abc.9", "abcd", "ab"):
        await client.accept_one(message("c1", other))
    first = await client.accept_one(message("c1", None, digest="abc"))
    assert (first.outcome, first.message_id) == (ACCEPTED, "abc")


async def test_the_same_digest_twice_in_one_batch_is_one_message(client: Client) -> None:
    first, second, other = await client.accept(
        message("c1", None, digest="abc"),
        message("c1", None, digest="abc"),
        message("c2", None, digest="abc"),
    )
    assert [first.outcome, second.outcome, other.outcome] == [ACCEPTED, DUPLICATE, ACCEPTED]
    assert second.job_id == first.job_id


async def test_parts_that_pending_messages_hold_are_dropped(client: Client) -> None:
    await client.accept_one(message("c1", None, digest="d1", content="a", parts=["a"]))
    second = await client.accept_one(
        message("c1", None, digest="d2", content="a\nb\nb", parts=["a", "b", "b"])
    )
    assert (second.outcome, second.content) == (ACCEPTED, "b\nb")
    third = await client.accept_one(
        message("c1", None, digest="d3", content="a\na\nb\nb\nb", parts=["a", "a", "b", "b", "b"])
    )
    assert third.content == "a\nb"
    held = await client.accept_one(message("c1", None, digest="d4", parts=["b", "a", "b"]))
    assert (held.outcome, held.message_id, held.job_id) == (DUPLICATE, "d2", second.job_id)


async def test_messages_of_one_batch_see_each_others_parts(client: Client) -> None:
    first, second, third = await client.accept(
        message("c1", None, digest="d1", content="a", parts=["a"]),
        message("c1", None, digest="d2", content="a\nb", parts=["a", "b"]),
        message("c1", None, digest="d3", content="b", parts=["b"]),
    )
    assert (first.content, second.content) == ("a", "b")
    assert (third.outcome, third.job_id) == (DUPLICATE, second.job_id)


async def test_a_message_without_parts_holds_its_content(client: Client) -> None:
    plain = await client.accept_one(message("c1", "m1", content="hello"))
    held = await client.accept_one(message("c1", None, digest="d", parts=["hello"]))
    assert (held.outcome, held.job_id) == (DUPLICATE, plain.job_id)


async def test_parts_of_processed_messages_are_not_held(client: Client) -> None:
    first = await client.accept_one(message("c1", None, digest="d1", content="a", parts=["a"]))
    await client.claim(claim("c1"))
    await client.do(commit("c1", first.job_id, "d1"))
    second = await client.accept_one(
        message("c1", None, digest="d2", content="a\nb", parts=["a", "b"])
    )
    assert second.content == "a\nb"


async def test_a_key_is_stronger_than_the_parts(client: Client) -> None:
    keyed = message("c1", "key", content="a", parts=["a"])
    first = await client.accept_one(keyed)
    await client.accept_one(message("c1", None, digest="d", content="a\nb", parts=["a", "b"]))
    again = await client.accept_one(message("c1", "key", content="b", parts=["b"]))
    assert (again.outcome, again.job_id) == (DUPLICATE, first.job_id)


class Interrupted:
    """A database in which something happens right after a message has been looked up."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[object]]) -> None:
        self._database = database
        self._happens = happens
        self.transactions = 0

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        found = await self._database.fetch(sql, *arguments)
        if sql == queries("accept")["identities"]:
            await self._happens()
        return found

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        self.transactions += 1
        return self._database.transaction()


async def accept_interrupted(
    database: Database, happens: Callable[[], Awaitable[object]], *messages: NewMessage
) -> tuple[list[Accepted], int]:
    """What became of the messages, and how many transactions it took that lock first."""
    interrupted = Interrupted(database, happens)
    answers = await accept_messages(cast(Database, interrupted), list(messages))
    return answers, interrupted.transactions


@pytest.mark.parametrize("is_known", [False, True])
async def test_what_another_writer_stores_meanwhile_is_seen(
    client: Client, database: Database, is_known: bool
) -> None:
    if is_known:
        await client.owned_job("c1", "m1")
    other = message("c1", None, digest="d1", content="a", parts=["a"])
    (answer, untouched), locked = await accept_interrupted(
        database,
        lambda: client.accept_one(other),
        message("c1", None, digest="d2", content="a\nb", parts=["a", "b"]),
        message("c2", None, digest="d2", content="a\nb", parts=["a", "b"]),
    )
    assert (answer.outcome, answer.content) == (ACCEPTED, "b")
    assert (untouched.outcome, untouched.content) == (ACCEPTED, "a\nb")
    assert locked == 1


async def test_the_same_message_that_another_writer_stores_meanwhile_is_a_duplicate(
    client: Client, database: Database
) -> None:
    same = message("c1", None, digest="d1", content="a", parts=["a"])
    (answer,), _ = await accept_interrupted(
        database,
        lambda: client.accept_one(same),
        message("c1", None, digest="d1", content="a", parts=["a"]),
    )
    assert (answer.outcome, answer.job_id) == (DUPLICATE, same.job_id)
    assert await rows(database, "select count(*) from messages") == [(1,)]


async def test_nothing_is_locked_first_where_nothing_happens_meanwhile(
    client: Client, database: Database
) -> None:
    await client.owned_job("c1", "m1")
    answers, locked = await accept_interrupted(
        database,
        lambda: asyncio.sleep(0),
        message("c1", None, digest="d1", content="a", parts=["a"]),
        message("c1", "key", content="a\nb", parts=["a", "b"]),
    )
    assert [(each.outcome, each.content) for each in answers] == [(ACCEPTED, "a"), (ACCEPTED, "b")]
    assert locked == 0

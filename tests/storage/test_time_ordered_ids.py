from __future__ import annotations

import time
from importlib import import_module
from uuid import RFC_4122, UUID

from storage.postgres import Database
from storage.time_ordered_id import time_ordered_id
from storage.turn_records import NewAction
from tests.storage.client import Client

MANY = 2_000
NOW = "(1000 * extract(epoch from clock_timestamp()))::bigint"
ACTIONS = [NewAction(action_type="send_message", data="{}", status="pending")]


def milliseconds_of(made: UUID) -> int:
    return made.int >> 80


def test_an_id_begins_with_its_time_and_is_no_other() -> None:
    before = time.time_ns() // 1_000_000
    made = [UUID(time_ordered_id()) for _ in range(MANY)]
    after = time.time_ns() // 1_000_000
    times = [milliseconds_of(each) for each in made]
    assert before <= times[0]
    assert times[-1] <= after
    assert times == sorted(times)
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    assert len(set(made)) == MANY
    # Every bit is drawn that is neither time, version nor variant.
    ones, zeros = 0, 0
    for each in made:
        ones |= each.int
        zeros |= ~each.int
    assert (ones & zeros) & ((1 << 80) - 1) == (1 << 80) - 1 - (0xF << 76) - (0b11 << 62)


async def test_rows_have_such_ids(client: Client, database: Database) -> None:
    await client.committed_job("c1", "m1", actions=ACTIONS)
    for table in ("conversations", "messages", "message_actions"):
        rows = await database.fetch(f"select id, {NOW} as now from {table}")  # noqa: S608
        assert rows
        for made, now in rows:
            assert_is_time_ordered(UUID(str(made)), now)


async def test_an_older_server_makes_the_same(database: Database) -> None:
    made = import_module("storage.migrations.versions.0004_time_ordered_ids").OWN_UUID
    sql = f"select {made} as id, {NOW} as now from generate_series(1, 100)"  # noqa: S608
    rows = await database.fetch(sql)
    assert len({row["id"] for row in rows}) == 100
    for row in rows:
        assert_is_time_ordered(UUID(str(row["id"])), row["now"])


def assert_is_time_ordered(made: UUID, now_milliseconds: int) -> None:
    assert (made.version, made.variant) == (7, RFC_4122)
    assert abs(milliseconds_of(made) - now_milliseconds) < 60_000

"""What owners write about deliveries of committed answers."""

from __future__ import annotations

from storage.delivery_records import DeliveryRecord, DeliveryStart
from storage.postgres import Database, queries
from storage.records import FencedOutcome

__all__ = ["record_deliveries", "start_deliveries"]

_SQL = queries("deliveries")


async def start_deliveries(database: Database, starts: list[DeliveryStart]) -> list[FencedOutcome]:
    """Count attempts before they are made (a conversation at most once a call).

    Repeated after a lost answer, it counts twice. ``CANCELLED``: there is nothing to deliver now.
    """
    rows = await database.fetch(
        _SQL["start_deliveries"],
        [start.conversation_id for start in starts],
        [start.epoch for start in starts],
        [start.job_id for start in starts],
    )
    outcomes = {row["conversation_id"]: FencedOutcome(row["outcome"]) for row in rows}
    return [outcomes[start.conversation_id] for start in starts]


async def record_deliveries(
    database: Database, records: list[DeliveryRecord]
) -> list[FencedOutcome]:
    """Write what came of attempts (a conversation at most once a call); safe to repeat."""
    rows = await database.fetch(
        _SQL["record_deliveries"],
        [record.conversation_id for record in records],
        [record.epoch for record in records],
        [record.job_id for record in records],
        [record.result.value for record in records],
        [record.actions_executed for record in records],
        [record.retry_in_seconds for record in records],
        [record.error for record in records],
    )
    outcomes = {row["conversation_id"]: FencedOutcome(row["outcome"]) for row in rows}
    return [outcomes[record.conversation_id] for record in records]

"""What owners write about turns: their start, their end, and messages that end without one."""

from __future__ import annotations

from collections.abc import Sequence

from storage.postgres import Database, Row, queries
from storage.records import FencedOutcome
from storage.turn_records import MessageSettlement, TurnCommit, TurnStart

__all__ = ["commit_turns", "settle_messages", "start_turns"]

_SQL = queries("turns")


def _outcomes(rows: list[Row]) -> list[FencedOutcome]:
    return [FencedOutcome(row["outcome"]) for row in rows]


async def start_turns(database: Database, starts: list[TurnStart]) -> list[FencedOutcome]:
    """Put messages into turns (a conversation at most once a call); safe to repeat."""
    superseded = [
        (turn, job_id)
        for turn, start in enumerate(starts, 1)
        for job_id in start.superseded_job_ids
    ]
    rows = await database.fetch(
        _SQL["start_turns"],
        [start.conversation_id for start in starts],
        [start.epoch for start in starts],
        [start.job_id for start in starts],
        [len(start.message_ids) for start in starts],
        *_message_columns(starts),
        [turn for turn, _ in superseded],
        [job_id for _, job_id in superseded],
        [start.attempts for start in starts],
        [start.owner_ttl_seconds for start in starts],
    )
    return _outcomes(rows)


async def commit_turns(database: Database, commits: list[TurnCommit]) -> list[FencedOutcome]:
    """Write the ends of turns (a conversation at most once a call).

    Safe to repeat: what the same epoch has committed already is ``DONE``.
    """
    rows = await database.fetch(
        _SQL["commit_turns"],
        *_commit_columns(commits),
        *_message_columns(commits),
        *_action_columns(commits),
        [commit.attempts for commit in commits],
        [commit.error for commit in commits],
        [commit.began_seconds_ago for commit in commits],
    )
    return _outcomes(rows)


def _commit_columns(commits: list[TurnCommit]) -> list[list[object]]:
    return [
        [commit.conversation_id for commit in commits],
        [commit.epoch for commit in commits],
        [commit.job_id for commit in commits],
        [commit.status.value for commit in commits],
        [commit.reason for commit in commits],
        [commit.first_position for commit in commits],
        [commit.reply for commit in commits],
        [commit.conversation_status for commit in commits],
        [commit.context_start for commit in commits],
        [commit.owner for commit in commits],
        [commit.lock_id for commit in commits],
        [commit.lease_kind.value for commit in commits],
        [commit.owner_ttl_seconds for commit in commits],
        [commit.bot_id for commit in commits],
        [commit.ai_response for commit in commits],
        [commit.extracted_actions for commit in commits],
        [commit.intent for commit in commits],
        [commit.confidence for commit in commits],
        [commit.model_used for commit in commits],
        [commit.ai_processing_time_ms for commit in commits],
        [commit.delivery_body for commit in commits],
        [commit.delivering for commit in commits],
        [len(commit.message_ids) for commit in commits],
    ]


def _message_columns(turns: Sequence[TurnStart | TurnCommit]) -> list[list[object]]:
    """Turns are numbered from 1, as PostgreSQL numbers the rows of the arrays."""
    rows = [
        (number, turn.conversation_id, message_id, ordinal)
        for number, turn in enumerate(turns, 1)
        for ordinal, message_id in enumerate(turn.message_ids)
    ]
    return [[row[column] for row in rows] for column in range(4)]


def _action_columns(commits: list[TurnCommit]) -> list[list[object]]:
    actions = [
        (turn, ordinal, action)
        for turn, commit in enumerate(commits, 1)
        for ordinal, action in enumerate(commit.actions)
    ]
    return [
        [turn for turn, _, _ in actions],
        [ordinal for _, ordinal, _ in actions],
        [action.action_type for _, _, action in actions],
        [action.data for _, _, action in actions],
        [action.status for _, _, action in actions],
        [action.error for _, _, action in actions],
    ]


async def settle_messages(
    database: Database, settlements: list[MessageSettlement]
) -> list[FencedOutcome]:
    """End messages without a turn (a message at most once a call); safe to repeat."""
    rows = await database.fetch(
        _SQL["settle_messages"],
        [settlement.conversation_id for settlement in settlements],
        [settlement.epoch for settlement in settlements],
        [settlement.message_id for settlement in settlements],
        [settlement.job_id for settlement in settlements],
        [settlement.status.value for settlement in settlements],
        [settlement.reason for settlement in settlements],
        [settlement.position for settlement in settlements],
    )
    return _outcomes(rows)

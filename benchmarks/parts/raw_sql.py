"""The least that storing the same rows could cost: no look at duplicates, owners or order."""

from __future__ import annotations

__all__ = ["ACCEPT_BATCH", "ACCEPT_ROW", "COMMIT_BATCH", "LOCKS", "NO_LOCKS"]

ACCEPT_BATCH = """
with input as (
    select *
    from unnest(
        $1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[],
        $7::double precision[], $8::text[]
    ) as t (
        conversation_id, message_id, job_id, sender_id, sender_type, content, "timestamp", bot_id
    )
),
touched as (
    insert into conversations as c (
        conversation_id, bot_id, total_messages, last_message_id, last_message_timestamp
    )
    select conversation_id, bot_id, 1, message_id, "timestamp" from input
    on conflict (conversation_id) do update set
        bot_id = excluded.bot_id,
        total_messages = c.total_messages + 1,
        last_message_id = excluded.last_message_id,
        last_message_timestamp = excluded.last_message_timestamp,
        last_accepted_at = excluded.last_accepted_at
),
made as (
    insert into jobs (id, conversation_id, bot_id, message_ids)
    select job_id, conversation_id, bot_id, array[message_id] from input
)
insert into messages (
    conversation_id, message_id, job_id, sender_id, sender_type, content, "timestamp", bot_id
)
select conversation_id, message_id, job_id, sender_id, sender_type, content, "timestamp", bot_id
from input
"""
"""Conversations, messages and jobs by one statement, which is one round trip."""

ACCEPT_ROW = (
    (
        """
        insert into conversations as c (
            conversation_id, bot_id, total_messages, last_message_id, last_message_timestamp
        )
        values ($1, $4, 1, $2, $3)
        on conflict (conversation_id) do update set
            bot_id = excluded.bot_id,
            total_messages = c.total_messages + 1,
            last_message_id = excluded.last_message_id,
            last_message_timestamp = excluded.last_message_timestamp,
            last_accepted_at = excluded.last_accepted_at
        """,
        ("conversation_id", "message_id", "timestamp", "bot_id"),
    ),
    (
        """
        insert into messages (
            conversation_id, message_id, job_id, sender_id, sender_type, content, "timestamp",
            bot_id
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        (
            "conversation_id",
            "message_id",
            "job_id",
            "sender_id",
            "sender_type",
            "content",
            "timestamp",
            "bot_id",
        ),
    ),
    (
        """
        insert into jobs (id, conversation_id, bot_id, message_ids)
        values ($1, $2, $3, array[$4])
        """,
        ("job_id", "conversation_id", "bot_id", "message_id"),
    ),
)
"""The same for one message: the statements of a transaction, and what each of them takes."""

COMMIT_BATCH = """
with input as (
    select *
    from unnest(
        $1::text[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[],
        $8::text[], $9::text[]
    ) as t (
        conversation_id, message_id, job_id, reply, place, ai_response, extracted_actions,
        delivery_body, action
    )
),
processed as (
    update messages m
    set processed_at = clock_timestamp(), turn_job_id = i.job_id, "position" = i.place
    from input i
    where m.conversation_id = i.conversation_id and m.message_id = i.message_id
),
replied as (
    insert into messages (
        conversation_id, job_id, turn_job_id, sender_id, sender_type, bot_id, content,
        "timestamp", "position", processed_at
    )
    select
        conversation_id, job_id, job_id, 'default', 'bot', 'default', reply,
        extract(epoch from clock_timestamp()), place + 1, clock_timestamp()
    from input
),
acted as (
    insert into message_actions (conversation_id, job_id, ordinal, action_type, data, status)
    select conversation_id, job_id, 0, 'send_message', action::jsonb, 'pending' from input
),
committed as (
    update jobs j
    set status = 'processing',
        outcome_status = 'completed',
        message_ids = array[i.message_id],
        epoch = 1,
        lock_id = 'lock',
        ai_response = i.ai_response::jsonb,
        extracted_actions = i.extracted_actions::jsonb,
        started_at = clock_timestamp(),
        committed_at = clock_timestamp(),
        queue_time_ms = 1.0,
        delivery_body = i.delivery_body,
        delivery_status = 'pending',
        delivery_seq = nextval('delivery_seq'),
        delivery_attempts = 1,
        next_delivery_at = clock_timestamp()
    from input i
    where j.id = i.job_id
)
update conversations c
set last_position = i.place + 1,
    total_messages = c.total_messages + 1,
    owner = 'host-1#0',
    lock_id = 'lock',
    lease_kind = 'redis',
    owner_until = clock_timestamp() + interval '30 seconds',
    running_job_id = null,
    running_since = null,
    last_settled_at = clock_timestamp()
from input i
where c.conversation_id = i.conversation_id
"""
"""What a committed turn writes, for many conversations by one statement."""

LOCKS = """
select count(pg_advisory_xact_lock(key))
from (
    select distinct hashtextextended(conversation_id, 0) as key
    from unnest($1::text[]) as t (conversation_id)
    order by key
) as keys
"""
"""The locks of an acceptance, by themselves."""

NO_LOCKS = "select count(*) from unnest($1::text[]) as t (conversation_id)"
"""The same rows, and nothing done with them."""

-- name: pending_messages
-- The oldest messages that are not in a running turn, then one for each conversation. The inner
-- limit bounds the work where very many wait. Owners known to be dead ($4) are not waited for.
select distinct on (waiting.conversation_id) waiting.*
from (
    select
        m.conversation_id,
        c.epoch,
        m.message_id,
        m.job_id::text as job_id,
        case when c.owner_until > now() then c.owner end as owner,
        m.seq
    from messages m
    join conversations c on c.conversation_id = m.conversation_id
    where m.processed_at is null
        and m.seq > 0
        and m.accepted_at < now() - make_interval(secs => $1)
        and (
            c.owner_until is null
            or c.owner_until <= now()
            or c.owner = any ($4::text[])
            or c.running_job_id is null
            or m.turn_job_id is distinct from c.running_job_id
        )
    order by m.accepted_at
    limit $2
) as waiting
order by waiting.conversation_id, waiting.seq
limit $3;

-- name: next_pending
-- A round through all conversations with pending messages, a few at a time, by their ids: behind
-- very many old messages of one conversation the above would not see those of others. From one
-- conversation to the next it is one look into the index, however many messages each has.
with recursive conversation as (
    (
        select m.conversation_id
        from messages m
        where m.processed_at is null and m.conversation_id > $3
        order by m.conversation_id
        limit 1
    )
    union all
    select (
        select m.conversation_id
        from messages m
        where m.processed_at is null and m.conversation_id > before.conversation_id
        order by m.conversation_id
        limit 1
    )
    from conversation before
    where before.conversation_id is not null
),
visited as materialized (
    select conversation_id from conversation where conversation_id is not null limit $2
)
select
    v.conversation_id,
    c.epoch,
    waiting.message_id,
    waiting.job_id,
    case when c.owner_until > now() then c.owner end as owner
from visited v
left join conversations c on c.conversation_id = v.conversation_id
left join lateral (
    select m.message_id, m.job_id::text as job_id
    from messages m
    where m.conversation_id = v.conversation_id
        and m.processed_at is null
        and m.accepted_at < now() - make_interval(secs => $1)
        and (
            c.owner_until is null
            or c.owner_until <= now()
            or c.owner = any ($4::text[])
            or c.running_job_id is null
            or m.turn_job_id is distinct from c.running_job_id
        )
    order by m.seq
    limit 1
) as waiting on true
order by v.conversation_id;

-- name: due_deliveries
-- The first undelivered answer of a conversation (the others come after it): due and nobody alive
-- to send it, or not even tried for some time.
select
    j.conversation_id,
    c.epoch,
    j.id::text as job_id,
    case when c.owner_until > now() then c.owner end as owner
from jobs j
join conversations c on c.conversation_id = j.conversation_id
where j.delivery_status = 'pending'
    and j.delivery_seq > 0
    and j.next_delivery_at <= now()
    and (
        c.owner_until is null
        or c.owner_until <= now()
        or c.owner = any ($3::text[])
        or (j.delivery_attempts = 0 and j.next_delivery_at < now() - make_interval(secs => $1))
    )
    -- Not `not exists`, which a plan may answer by comparing every pair.
    and j.delivery_seq = (
        select first.delivery_seq from jobs first
        where first.conversation_id = j.conversation_id and first.delivery_status = 'pending'
        order by first.delivery_seq
        limit 1
    )
order by j.next_delivery_at
limit $2;

-- name: conversation_of_job
select j.conversation_id, j.status from jobs j where j.id = $1::uuid;

-- name: lock_conversation
select
    c.epoch,
    c.running_job_id::text as running_job_id,
    case when c.owner_until > now() then c.owner end as owner,
    c.lock_id,
    c.cluster,
    c.running_job_id is null and not exists (
        select from messages m
        where m.conversation_id = c.conversation_id and m.processed_at is null
    ) as is_idle
from conversations c
where c.conversation_id = $1
for no key update;

-- name: keep_acceptance_out
-- As acceptance does, before anything of the conversation is looked at.
select pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: cancel_uncommitted_job
update jobs j
set status = 'cancelled', reason = 'cancelled', finished_at = now()
where j.id = $1::uuid and j.committed_at is null and j.status in ('queued', 'processing')
returning j.conversation_id;

-- name: cancel_undelivered_job
update jobs j
set status = 'cancelled',
    reason = 'cancelled',
    finished_at = now(),
    delivery_status = 'cancelled',
    delivery_body = null,
    next_delivery_at = null
where j.id = $1::uuid
    and j.committed_at is not null
    -- One that was given up and is tried again had its attempts, and its job is final.
    and j.status = 'processing'
    and j.delivery_status = 'pending'
    and j.delivery_attempts = 0
returning j.conversation_id;

-- name: cancel_actions
update message_actions a
set status = 'cancelled', updated_at = now()
where a.job_id = $1::uuid and a.status = 'pending';

-- name: drop_messages_of_job
-- Those of its turn, or the one that it was made for.
update messages m
set processed_at = now()
where m.conversation_id = $1
    and m.processed_at is null
    and (m.turn_job_id = $2::uuid or m.job_id = $2::uuid);

-- name: forget_cancelled_job
-- What comes next is attempted for the first time.
update conversations c
set running_job_id = nullif(c.running_job_id, $2::uuid),
    running_since = case when c.running_job_id <> $2::uuid then c.running_since end,
    attempts = 0
where c.conversation_id = $1 and (c.running_job_id = $2::uuid or c.attempts > 0);

-- name: job_status
select j.status from jobs j where j.id = $1::uuid;

-- name: reset_conversation
update conversations c
set epoch = c.epoch + 1,
    owner = null,
    owner_until = null,
    lock_id = null,
    running_job_id = null,
    running_since = null,
    attempts = 0
where c.conversation_id = $1
returning c.epoch;

-- name: resume_conversation
update conversations c
set epoch = c.epoch + 1,
    status = 'active',
    owner = null,
    owner_until = null,
    lock_id = null,
    running_job_id = null,
    running_since = null,
    attempts = 0
where c.conversation_id = $1
returning c.epoch;

-- name: erase_messages
with gone as (delete from messages where conversation_id = any ($1::text[]) returning 1)
select count(*) as removed from gone;

-- name: erase_jobs
with gone as (delete from jobs where conversation_id = any ($1::text[]) returning 1)
select count(*) as removed from gone;

-- name: erase_actions
with gone as (delete from message_actions where conversation_id = any ($1::text[]) returning 1)
select count(*) as removed from gone;

-- name: erase_conversations
with gone as (delete from conversations where conversation_id = any ($1::text[]) returning 1)
select count(*) as removed from gone;

-- name: idle_conversations
-- A page of conversations that may go, by recency: (last_accepted_at, conversation_id) is the
-- place to go on from.
select idle.conversation_id, idle.last_accepted_at
from unnest($1::text[]) as wanted (status)
cross join lateral (
    select c.conversation_id, c.last_accepted_at
    from conversations c
    where c.status = wanted.status
        and c.last_accepted_at < now() - make_interval(secs => $2)
        and (c.last_accepted_at, c.conversation_id) > ($3::timestamptz, $4::text)
        and (c.last_settled_at is null or c.last_settled_at < now() - make_interval(secs => $2))
        and (c.owner_until is null or c.owner_until <= now())
        and not exists (
            select from messages m
            where m.conversation_id = c.conversation_id and m.processed_at is null
        )
        and not exists (
            select from jobs j
            where j.conversation_id = c.conversation_id and j.delivery_status = 'pending'
        )
    order by c.last_accepted_at, c.conversation_id
    limit $5
) as idle
order by idle.last_accepted_at, idle.conversation_id
limit $5;

-- name: lock_idle_conversations
-- Again, under the lock: work may have come since the page was read. Conversations in use are
-- left for the next time.
select c.conversation_id
from conversations c
where c.conversation_id = any ($1::text[])
    and c.last_accepted_at < now() - make_interval(secs => $2)
    and (c.last_settled_at is null or c.last_settled_at < now() - make_interval(secs => $2))
    and (c.owner_until is null or c.owner_until <= now())
order by c.conversation_id
for update skip locked;

-- name: still_idle
select w.conversation_id
from unnest($1::text[]) as w (conversation_id)
where not exists (
        select from messages m
        where m.conversation_id = w.conversation_id and m.processed_at is null
    )
    and not exists (
        select from jobs j
        where j.conversation_id = w.conversation_id and j.delivery_status = 'pending'
    );

-- name: count_rows
select
    (select count(*) from messages where conversation_id = any ($1::text[])) as messages,
    (select count(*) from jobs where conversation_id = any ($1::text[])) as jobs,
    (select count(*) from message_actions where conversation_id = any ($1::text[])) as actions;

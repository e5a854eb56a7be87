-- The kind of a dead letter is written here as its index (jobs_dead_letters) has it.

-- name: dead_letters
-- One probe of the index for each kind. A place in the list is (dead_letter_at, id).
select found.*
from unnest($1::text[]) as wanted (kind)
cross join lateral (
    select
        j.id,
        wanted.kind,
        j.conversation_id,
        j.message_ids,
        j.reason,
        case when wanted.kind = 'message' then j.error else j.delivery_error end as error,
        case when wanted.kind = 'message' then j.attempts else j.delivery_attempts end as attempts,
        j.created_at,
        j.dead_letter_at
    from jobs j
    where j.dead_letter_at is not null
        and (case when outcome_status = 'failed' then 'message' else 'delivery' end) = wanted.kind
        and (j.dead_letter_at, j.id) < ($2::timestamptz, $3::uuid)
    order by j.dead_letter_at desc, j.id desc
    limit $4
) as found
order by found.dead_letter_at desc, found.id desc
limit $4;

-- name: count_dead_letters
select count(*) as dead_letters
from (select from jobs where dead_letter_at is not null limit $1) as counted;

-- name: dead_letter_ids
-- Those given up until $2, the oldest first: what is given up again meanwhile is left alone.
select found.id, found.conversation_id, found.dead_letter_at
from unnest($1::text[]) as wanted (kind)
cross join lateral (
    select j.id, j.conversation_id, j.dead_letter_at
    from jobs j
    where j.dead_letter_at is not null
        and (case when outcome_status = 'failed' then 'message' else 'delivery' end) = wanted.kind
        and j.dead_letter_at <= $2::timestamptz
        and (j.dead_letter_at, j.id) > ($3::timestamptz, $4::uuid)
    order by j.dead_letter_at, j.id
    limit $5
) as found
order by found.dead_letter_at, found.id
limit $5;

-- name: now
select now() as now;

-- name: lock_conversations
-- First as `insert_messages` does: what is tried again gets a place in the order of acceptance.
with alone as materialized (
    select pg_advisory_xact_lock(key)
    from (
        select distinct hashtextextended(conversation_id, 0) as key
        from unnest($1::text[]) as t (conversation_id)
        order by key
    ) as keys
)
select c.conversation_id
from conversations c
cross join (select count(*) from alone) as first
where c.conversation_id = any ($1::text[])
order by c.conversation_id
for no key update of c;

-- name: retry_deliveries
-- The body and the key stay what they were; the place in the outbox is behind what was answered
-- meanwhile. A conversation gets no more than $2 undelivered answers by it.
with candidate as materialized (
    select j.id, j.dead_letter_at, j.conversation_id
    from jobs j
    where j.id = any ($1::uuid[])
        and j.dead_letter_at is not null
        and j.outcome_status <> 'failed'
        and j.delivery_status = 'dead'
        and j.delivery_body is not null
),
numbered as (
    select
        c.*,
        row_number() over (partition by conversation_id order by dead_letter_at, id) + (
            select count(*) from jobs p
            where p.conversation_id = c.conversation_id and p.delivery_status = 'pending'
        ) as undelivered
    from candidate c
),
wanted as materialized (
    select * from numbered where undelivered <= $2 order by dead_letter_at, id
),
placed as materialized (
    select id, nextval('delivery_seq') as delivery_seq from wanted
),
retried as (
    update jobs j
    set delivery_status = 'pending',
        delivery_seq = p.delivery_seq,
        delivery_attempts = 0,
        delivery_error = null,
        next_delivery_at = clock_timestamp(),
        dead_letter_at = null
    from placed p
    where j.id = p.id
),
acted as (
    update message_actions a
    set status = 'pending', error = null, retry_count = 0, updated_at = clock_timestamp()
    from wanted w
    where a.job_id = w.id and a.status = 'failed'
)
select id::text as id, conversation_id, id::text as job_id, 'delivery' as kind from wanted;

-- name: retry_messages
-- All messages of a failed turn are pending again, under jobs of their own, as one turn that was
-- begun and not finished: it is done with exactly them. Their place in the context is void; that
-- the last position moves tells whoever keeps a copy of the context that it is.
with wanted as materialized (
    select j.id, j.conversation_id, j.bot_id, j.message_ids, j.dead_letter_at,
        time_ordered_uuid() as new_job_id
    from jobs j
    where j.id = any ($1::uuid[])
        and j.dead_letter_at is not null
        and j.outcome_status = 'failed'
),
held as materialized (
    select
        w.id as old_job_id,
        w.new_job_id as turn_job_id,
        w.dead_letter_at,
        w.bot_id,
        m.id as row_id,
        m.conversation_id,
        m.message_id,
        m.seq,
        row_number() over (partition by w.id order by m.seq) as ordinal
    from wanted w
    join messages m on m.conversation_id = w.conversation_id and m.message_id = any (w.message_ids)
    where m.turn_job_id = w.id and m.processed_at is not null
),
sorted as materialized (
    select * from held order by dead_letter_at, old_job_id, seq
),
placed as materialized (
    select
        s.*,
        case when s.ordinal = 1 then s.turn_job_id else time_ordered_uuid() end as job_id,
        nextval(pg_get_serial_sequence('messages', 'seq')::regclass) as new_seq
    from sorted s
),
revived as (
    update messages m
    set job_id = p.job_id,
        turn_job_id = p.turn_job_id,
        processed_at = null,
        "position" = null,
        accepted_at = clock_timestamp(),
        seq = p.new_seq
    from placed p
    where m.id = p.row_id
),
made as (
    insert into jobs (
        id, conversation_id, bot_id, message_ids, consolidated_messages, status, superseded_by,
        finished_at
    )
    select
        p.job_id,
        p.conversation_id,
        p.bot_id,
        case when p.ordinal = 1 then w.message_ids else array[p.message_id] end,
        case when p.ordinal = 1 then cardinality(w.message_ids) else 1 end,
        case when p.ordinal = 1 then 'queued' else 'superseded' end,
        case when p.ordinal > 1 then p.turn_job_id end,
        case when p.ordinal > 1 then clock_timestamp() end
    from placed p
    join wanted w on w.id = p.old_job_id
),
retried as (
    update jobs j
    set retried_by = w.new_job_id, dead_letter_at = null
    from wanted w
    where j.id = w.id and exists (select from placed p where p.old_job_id = w.id)
),
touched as (
    update conversations c
    set last_accepted_at = greatest(c.last_accepted_at, clock_timestamp()),
        last_position = c.last_position + 1,
        previous_seq = c.last_seq,
        last_seq = p.last_seq
    from (
        select conversation_id, max(new_seq) as last_seq from placed group by conversation_id
    ) as p
    where c.conversation_id = p.conversation_id
)
select w.id::text as id, w.conversation_id, w.new_job_id::text as job_id, 'message' as kind
from wanted w
where exists (select from placed p where p.old_job_id = w.id);

-- name: job
select j.*
from jobs j
where j.id = $1::uuid;

-- name: jobs
select j.*
from jobs j
where j.id = any ($1::uuid[]);

-- name: job_statuses
select j.id::text as job_id, j.status
from jobs j
where j.id = any ($1::uuid[]);

-- name: answering_job
select answering.*
from jobs own
join jobs answering on answering.id = coalesce(own.superseded_by, own.id)
where own.id = $1::uuid;

-- name: jobs_of_conversation
select j.*
from jobs j
where j.conversation_id = $1
order by j.created_at desc
limit $2;

-- name: messages_of_conversation
select
    m.message_id,
    m.job_id::text as job_id,
    m.turn_job_id::text as turn_job_id,
    m.seq,
    m.sender_id,
    m.sender_type,
    m.bot_id,
    m.content,
    m."timestamp",
    m."position",
    m.metadata::text as metadata,
    m.attachments::text as attachments,
    extract(epoch from m.accepted_at)::double precision as accepted_at,
    extract(epoch from m.processed_at)::double precision as processed_at
from messages m
where m.conversation_id = $1
order by m.seq desc
limit $2;

-- name: actions_of_conversation
select
    a.id::text as action_id,
    a.job_id::text as job_id,
    a.ordinal,
    a.action_type,
    a.data::text as data,
    a.status,
    a.error,
    a.retry_count,
    extract(epoch from a.created_at)::double precision as created_at,
    extract(epoch from a.updated_at)::double precision as updated_at
from message_actions a
where a.conversation_id = $1
order by a.created_at desc, a.ordinal desc
limit $2;

-- name: conversation_ids_by_recency
-- One probe of the index for each status: no status is a scan of the rest.
select found.conversation_id, found.last_accepted_at
from unnest($1::text[]) as wanted (status)
cross join lateral (
    select c.conversation_id, c.last_accepted_at
    from conversations c
    where c.status = wanted.status
        and (c.last_accepted_at, c.conversation_id) < ($2::timestamptz, $3::text)
    order by c.last_accepted_at desc, c.conversation_id desc
    limit $4
) as found
order by found.last_accepted_at desc, found.conversation_id desc
limit $4;

-- name: conversation_ids_by_search
-- The latest only are looked through, so that no search reads the whole table; a whole id is found
-- wherever it is.
select found.conversation_id, found.last_accepted_at
from (
    (
        select latest.conversation_id, latest.last_accepted_at
        from unnest($1::text[]) as wanted (status)
        cross join lateral (
            select c.conversation_id, c.last_accepted_at
            from conversations c
            where c.status = wanted.status
                and (c.last_accepted_at, c.conversation_id) < ($2::timestamptz, $3::text)
            order by c.last_accepted_at desc, c.conversation_id desc
            limit $6
        ) as latest
        where position(lower($5::text) in lower(latest.conversation_id)) > 0
    )
    union
    select c.conversation_id, c.last_accepted_at
    from conversations c
    where c.conversation_id = $5::text
        and c.status = any ($1::text[])
        and (c.last_accepted_at, c.conversation_id) < ($2::timestamptz, $3::text)
) as found
order by found.last_accepted_at desc, found.conversation_id desc
limit $4;

-- name: conversation_ids_that_wait
-- Those with messages to answer or answers to deliver, the longest waiting and the next due of them:
-- the indexes of these bound what is read, also when very many wait. The limit of the join makes it
-- look each of them up; otherwise, of many, the planner reads the whole table.
select found.conversation_id, found.last_accepted_at
from (
    (
        select m.conversation_id from messages m
        where m.processed_at is null and m.seq > 0
        order by m.accepted_at
        limit $6
    )
    union
    (
        select j.conversation_id from jobs j
        where j.delivery_status = 'pending' and j.delivery_seq > 0
        order by j.next_delivery_at
        limit $6
    )
) as waiting
cross join lateral (
    select c.conversation_id, c.last_accepted_at
    from conversations c
    where c.conversation_id = waiting.conversation_id
        and c.status = any ($1::text[])
        and (c.last_accepted_at, c.conversation_id) < ($2::timestamptz, $3::text)
        and position(lower($5::text) in lower(c.conversation_id)) > 0
    limit 1
) as found
order by found.last_accepted_at desc, found.conversation_id desc
limit $4;

-- name: conversations
select
    c.conversation_id,
    c.bot_id,
    c.status,
    c.epoch,
    case when c.owner_until > now() then c.owner end as owner,
    case when c.owner_until > now() then c.cluster end as cluster,
    case when c.owner_until > now() then c.lease_kind end as lease_kind,
    greatest(coalesce(extract(epoch from c.owner_until - now()), 0), 0)::double precision
        as owner_seconds_left,
    c.running_job_id::text as running_job_id,
    c.running_job_id is not null and coalesce(c.owner_until > now(), false) as ai_processing,
    c.last_position - c.context_start as context_size,
    c.attempts,
    c.total_messages,
    c.last_message_id,
    c.last_message_timestamp,
    extract(epoch from c.last_accepted_at)::double precision as last_accepted_at,
    extract(epoch from c.last_settled_at)::double precision as last_settled_at,
    extract(epoch from c.created_at)::double precision as created_at,
    (
        select count(*) from messages m
        where m.conversation_id = c.conversation_id
            and m.processed_at is null
            and (c.running_job_id is null or m.turn_job_id is distinct from c.running_job_id)
    ) as waiting_messages,
    (
        select count(*) from messages m
        where m.conversation_id = c.conversation_id and m.processed_at is null
    ) as pending_messages,
    (
        select count(*) from jobs j
        where j.conversation_id = c.conversation_id and j.delivery_status = 'pending'
    ) as undelivered_jobs
from conversations c
where c.conversation_id = any ($1::text[])
order by c.last_accepted_at desc, c.conversation_id desc;

-- name: next_retry
select extract(epoch from min(j.next_delivery_at))::double precision as next_retry_at
from jobs j
where j.conversation_id = $1 and j.delivery_status = 'pending';

-- name: epoch
select c.epoch from conversations c where c.conversation_id = $1;

-- name: conversation_estimate
-- What the last vacuum or analyze counted; -1: none has yet.
select c.reltuples::bigint as conversations from pg_class c where c.oid = 'conversations'::regclass;

-- name: conversation_count
select count(*) as conversations from conversations;

-- name: activity
select
    (
        select count(*) from conversations c
        where c.status = any ($1::text[]) and c.last_accepted_at >= now() - interval '1 hour'
    ) as recent,
    (
        select count(*) from conversations c
        where c.status = any ($1::text[]) and c.last_accepted_at < now() - interval '24 hours'
    ) as old,
    (
        select count(*) from conversations c
        join (
            select distinct m.conversation_id, m.turn_job_id
            from messages m
            where m.processed_at is null and m.seq > 0 and m.turn_job_id is not null
        ) as pending
            on pending.conversation_id = c.conversation_id
            and pending.turn_job_id = c.running_job_id
        where c.owner_until > now()
    ) as active_processing;

-- name: stuck_conversations
-- A turn that takes too long, or messages that nobody alive holds. Both have pending messages,
-- so the index of those is all that is read.
select
    c.conversation_id,
    case when c.owner_until > now() then 'turn_too_long' else 'no_owner' end as reason,
    c.owner,
    c.running_job_id::text as job_id,
    extract(epoch from now() - case
        when c.owner_until > now() then c.running_since else pending.since
    end)::double precision as stuck_seconds,
    pending.messages as waiting_messages
from (
    select m.conversation_id, min(m.accepted_at) as since, count(*) as messages
    from messages m
    where m.processed_at is null
        and m.seq > 0
        and m.accepted_at < now() - make_interval(secs => $1)
    group by m.conversation_id
) as pending
join conversations c on c.conversation_id = pending.conversation_id
left join unnest($2::text[], $3::double precision[]) as t (bot_id, seconds) on t.bot_id = c.bot_id
where (c.owner_until > now() and c.running_job_id is not null
        and c.running_since < now() - make_interval(secs => 2 * coalesce(t.seconds, $4)))
    or ((c.owner_until is null or c.owner_until <= now())
        and pending.since < now() - interval '30 seconds')
order by pending.since
limit $5;

-- name: postgres_statistics
select
    pg_database_size(current_database()) as database_bytes,
    d.numbackends as connections,
    current_setting('max_connections')::integer as max_connections,
    d.xact_commit as transactions_committed,
    d.xact_rollback as transactions_rolled_back,
    d.deadlocks as deadlocks,
    current_setting('server_version') as server_version
from pg_stat_database d
where d.datname = current_database();

-- name: unknown_conversations
select w.conversation_id
from unnest($1::text[]) as w (conversation_id)
where not exists (
    select from conversations c where c.conversation_id = w.conversation_id
);

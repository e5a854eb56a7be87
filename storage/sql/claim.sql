-- name: claim_conversations
-- Compare-and-set on the epoch. What a claim reads besides comes in later statements: this one's
-- snapshot is older than the locks that it waits for, and would show a turn as pending that was
-- committed meanwhile. Nobody else can commit a turn once the epoch is ours.
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::double precision[], $8::text[]
    ) as t (
        conversation_id, epoch, owner, cluster, lock_id, lease_kind, owner_ttl_seconds,
        take_over_from
    )
),
locked as materialized (
    select c.*
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
judged as materialized (
    select
        i.*,
        l.epoch as held_epoch,
        l.owner as held_owner,
        l.cluster as held_cluster,
        l.owner_until,
        l.status,
        l.last_position,
        l.last_seq,
        l.context_start,
        -- Of what was dealt with: a message that waits has been accepted already, and must not
        -- count as the activity that it is measured against.
        coalesce(l.last_settled_at, l.last_accepted_at) as last_activity_at,
        -- Counted before anything is attempted, but not past the third: from there on the turns
        -- themselves are counted, before they begin (start_turns).
        case
            when l.epoch = i.epoch + 1 and l.lock_id = i.lock_id then l.attempts
            -- Not `exists`, which a plan may answer by reading all that is pending anywhere.
            when (
                select m.seq from messages m
                where m.conversation_id = l.conversation_id and m.processed_at is null
                limit 1
            ) is null then 0
            else greatest(l.attempts, least(l.attempts + 1, 3))
        end as attempts,
        case
            -- The same claim again, by a caller that did not get the answer.
            when l.epoch = i.epoch + 1 and l.lock_id = i.lock_id then 'claimed'
            when l.epoch <> i.epoch then 'stale'
            when l.owner_until > clock_timestamp() and l.owner <> i.owner
                and l.owner is distinct from i.take_over_from
                and (i.lease_kind = 'database' or l.lease_kind = 'database') then 'refused'
            else 'claimed'
        end as outcome
    from locked l
    join input i on i.conversation_id = l.conversation_id
),
decided as materialized (
    -- As a column, for the planner's guess of how many there are.
    select *, outcome = 'claimed' as is_claimed from judged
),
claimed as (
    update conversations c
    set epoch = j.epoch + 1,
        owner = j.owner,
        cluster = j.cluster,
        lock_id = j.lock_id,
        lease_kind = j.lease_kind,
        owner_until = clock_timestamp() + make_interval(secs => j.owner_ttl_seconds),
        running_job_id = null,
        running_since = null,
        attempts = j.attempts
    from decided j
    where c.conversation_id = j.conversation_id and j.is_claimed
)
select
    conversation_id,
    outcome,
    case when is_claimed then epoch + 1 else held_epoch end as epoch,
    case when is_claimed then owner else held_owner end as owner,
    case when is_claimed then cluster else held_cluster end as cluster,
    greatest(coalesce(extract(epoch from owner_until - clock_timestamp()), 0), 0)
        ::double precision as retry_in_seconds,
    status,
    last_position,
    last_seq,
    context_start,
    extract(epoch from last_activity_at)::double precision as last_activity_at,
    attempts
from decided;

-- name: pending_messages
-- So many, and no further one past $3 bytes of texts; `found` tells whether there are more.
select w.conversation_id, pending.*
from unnest($1::text[], $2::integer[]) as w (conversation_id, message_limit)
cross join lateral (
    select
        m.message_id,
        m.job_id::text as job_id,
        m.seq,
        m.sender_id,
        m.sender_type,
        m.content,
        m."timestamp",
        extract(epoch from m.accepted_at)::double precision as accepted_at,
        m.bot_id,
        m.metadata::text as metadata,
        m.attachments::text as attachments,
        m.context::text as context,
        -- A turn that has ended without the message does not hold it any more.
        case
            when exists (
                select from jobs t
                where t.id = m.turn_job_id
                    and t.committed_at is null
                    and t.status in ('queued', 'processing', 'superseded')
            ) then m.turn_job_id::text
        end as turn_job_id,
        m.found
    from (
        select
            oldest.*,
            row_number() over (order by oldest.seq) as place,
            count(*) over () as found,
            sum(
                octet_length(oldest.content)
                + coalesce(pg_column_size(oldest.metadata), 0)
                + coalesce(pg_column_size(oldest.attachments), 0)
                + coalesce(pg_column_size(oldest.context), 0)
            ) over (
                order by oldest.seq rows between unbounded preceding and 1 preceding
            ) as bytes_before
        from (
            select *
            from messages p
            where p.conversation_id = w.conversation_id and p.processed_at is null
            order by p.seq
            limit w.message_limit + 1
        ) as oldest
    ) as m
    where m.place <= w.message_limit and coalesce(m.bytes_before, 0) < $3::bigint
) as pending
order by w.conversation_id, pending.seq;

-- name: contexts
select w.conversation_id, recent.sender_type, recent.content
from unnest($1::text[], $2::bigint[], $3::integer[])
    as w (conversation_id, context_start, context_limit)
cross join lateral (
    select m.sender_type, m.content, m."position"
    from messages m
    where m.conversation_id = w.conversation_id
        and m."position" > w.context_start
        and m.content <> ''
    order by m."position" desc
    limit w.context_limit
) as recent
order by w.conversation_id, recent."position";

-- name: outboxes
select
    j.conversation_id,
    j.id::text as job_id,
    j.bot_id,
    j.delivery_body,
    j.delivery_attempts,
    greatest(extract(epoch from j.next_delivery_at - now()), 0)::double precision
        as retry_in_seconds,
    j.message_ids,
    (
        select count(*) from message_actions a where a.job_id = j.id and a.status = 'pending'
    ) as action_count
from jobs j
where j.conversation_id = any ($1::text[]) and j.delivery_status = 'pending'
order by j.conversation_id, j.delivery_seq;

-- name: renew_owners
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::double precision[]
    ) as t (conversation_id, epoch, owner, lease_kind, owner_ttl_seconds)
),
locked as materialized (
    select c.conversation_id, c.epoch, c.owner
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
renewed as (
    update conversations c
    set owner = case when i.owner_ttl_seconds > 0 then i.owner end,
        lease_kind = i.lease_kind,
        owner_until = case
            when i.owner_ttl_seconds > 0
                then clock_timestamp() + make_interval(secs => i.owner_ttl_seconds)
        end
    from locked l
    join input i
        on i.conversation_id = l.conversation_id
        and i.epoch = l.epoch
        -- Given up already, and asked for again: the answer was lost.
        and (i.owner = l.owner or (l.owner is null and i.owner_ttl_seconds <= 0))
    where c.conversation_id = l.conversation_id
    returning c.conversation_id
)
select conversation_id from renewed;

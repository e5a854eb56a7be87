-- Every statement here locks the conversations in key order, then jobs, then messages. The locking
-- reads return the newest committed version of a row, whatever the statement's snapshot says, so
-- one statement can judge and write. Messages and jobs are locked only under their conversation.

-- name: start_turns
with input as (
    select *
    from unnest($1::text[], $2::bigint[], $3::uuid[], $4::integer[])
        as t (conversation_id, epoch, job_id, message_count)
),
input_message as (
    select * from unnest($5::text[], $6::text[], $7::integer[])
        as t (conversation_id, message_id, ordinal)
),
input_superseded as (
    select * from unnest($8::text[], $9::uuid[]) as t (conversation_id, job_id)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
job as materialized (
    select j.id, j.status, j.committed_at, i.conversation_id
    from owned o
    join input i on i.conversation_id = o.conversation_id and i.epoch = o.epoch
    join jobs j on j.id = i.job_id and j.conversation_id = i.conversation_id
    for no key update of j
),
held as materialized (
    select m.id, m.conversation_id, i.job_id
    from owned o
    join input i on i.conversation_id = o.conversation_id and i.epoch = o.epoch
    join input_message n on n.conversation_id = i.conversation_id
    join messages m
        on m.conversation_id = n.conversation_id
        and m.message_id = n.message_id
        and m.processed_at is null
    for no key update of m
),
judged as materialized (
    select
        i.*,
        case
            when o.epoch is distinct from i.epoch then 'fenced'
            when j.id is null then 'stale'
            when j.committed_at is not null
                or j.status not in ('queued', 'processing', 'superseded') then 'cancelled'
            when (select count(*) from held h where h.conversation_id = i.conversation_id)
                <> i.message_count then 'stale'
            else 'done'
        end as outcome
    from input i
    left join owned o on o.conversation_id = i.conversation_id
    left join job j on j.conversation_id = i.conversation_id
),
started as (
    update jobs j
    set status = 'processing',
        superseded_by = null,
        message_ids = (
            select array_agg(n.message_id order by n.ordinal)
            from input_message n
            where n.conversation_id = d.conversation_id
        ),
        consolidated_messages = d.message_count,
        epoch = d.epoch,
        started_at = coalesce(j.started_at, clock_timestamp()),
        finished_at = null
    from judged d
    where j.id = d.job_id and d.outcome = 'done'
),
superseded as (
    update jobs j
    set status = 'superseded',
        superseded_by = d.job_id,
        finished_at = coalesce(j.finished_at, clock_timestamp())
    from judged d
    join input_superseded s on s.conversation_id = d.conversation_id
    where d.outcome = 'done'
        and j.id = s.job_id
        and j.id <> d.job_id
        and j.conversation_id = d.conversation_id
        and j.committed_at is null
        and j.status in ('queued', 'processing', 'superseded')
),
assigned as (
    update messages m
    set turn_job_id = h.job_id
    from held h
    join judged d on d.conversation_id = h.conversation_id and d.outcome = 'done'
    where m.id = h.id
),
running as (
    update conversations c
    set running_job_id = d.job_id,
        running_since = case
            when c.running_job_id = d.job_id then c.running_since
            else clock_timestamp()
        end
    from judged d
    where c.conversation_id = d.conversation_id and d.outcome = 'done'
)
select conversation_id, outcome from judged;

-- name: commit_turns
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[],
        $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::double precision[],
        $14::text[], $15::text[], $16::text[], $17::text[], $18::double precision[], $19::text[],
        $20::double precision[], $21::text[], $22::boolean[], $23::integer[]
    ) as t (
        conversation_id, epoch, job_id, status, reason, first_position, reply,
        conversation_status, context_start, owner, lock_id, lease_kind, owner_ttl_seconds,
        bot_id, ai_response, extracted_actions, intent, confidence, model_used,
        ai_processing_time_ms, delivery_body, delivering, message_count
    )
),
input_message as (
    select * from unnest($24::text[], $25::text[], $26::integer[])
        as t (conversation_id, message_id, ordinal)
),
input_action as (
    select * from unnest($27::text[], $28::integer[], $29::text[], $30::text[], $31::text[],
        $32::text[]) as t (conversation_id, ordinal, action_type, data, status, error)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
job as materialized (
    select j.id, j.status, j.committed_at, j.epoch, i.conversation_id
    from owned o
    join input i on i.conversation_id = o.conversation_id
    join jobs j on j.id = i.job_id and j.conversation_id = i.conversation_id
    for no key update of j
),
held as materialized (
    select m.id, i.conversation_id, i.job_id, i.first_position + n.ordinal as place
    from owned o
    join input i on i.conversation_id = o.conversation_id and i.epoch = o.epoch
    join input_message n on n.conversation_id = i.conversation_id
    join messages m
        on m.conversation_id = n.conversation_id
        and m.message_id = n.message_id
        and m.processed_at is null
    for no key update of m
),
judged as materialized (
    select
        i.*,
        -- What stands in the context after this turn.
        i.first_position + i.message_count - 1 + (i.reply is not null)::integer as last_position,
        i.delivery_body is not null and i.status <> 'cancelled' as is_delivered,
        case
            when j.committed_at is not null and j.epoch = i.epoch then 'already'
            when o.epoch is distinct from i.epoch then 'fenced'
            when j.id is null then 'stale'
            when j.committed_at is not null
                or j.status not in ('queued', 'processing', 'superseded') then 'cancelled'
            when (select count(*) from held h where h.conversation_id = i.conversation_id)
                <> i.message_count then 'stale'
            else 'done'
        end as outcome
    from input i
    left join owned o on o.conversation_id = i.conversation_id
    left join job j on j.conversation_id = i.conversation_id
),
processed as (
    update messages m
    set processed_at = clock_timestamp(), turn_job_id = h.job_id, "position" = h.place
    from held h
    join judged d on d.conversation_id = h.conversation_id and d.outcome = 'done'
    where m.id = h.id
),
replied as (
    insert into messages (
        conversation_id, job_id, turn_job_id, sender_id, sender_type, bot_id, content,
        "timestamp", "position", processed_at
    )
    select
        conversation_id, job_id, job_id, bot_id, 'bot', bot_id, reply,
        extract(epoch from clock_timestamp()), last_position, clock_timestamp()
    from judged
    where outcome = 'done' and reply is not null
),
acted as (
    insert into message_actions (conversation_id, job_id, ordinal, action_type, data, status, error)
    select a.conversation_id, d.job_id, a.ordinal, a.action_type, a.data::jsonb, a.status, a.error
    from input_action a
    join judged d on d.conversation_id = a.conversation_id
    where d.outcome = 'done' and d.status <> 'cancelled'
),
committed as (
    update jobs j
    set status = case when d.is_delivered then 'processing' else d.status end,
        outcome_status = d.status,
        reason = d.reason,
        superseded_by = null,
        message_ids = (
            select array_agg(n.message_id order by n.ordinal)
            from input_message n
            where n.conversation_id = d.conversation_id
        ),
        consolidated_messages = d.message_count,
        bot_id = d.bot_id,
        epoch = d.epoch,
        lock_id = d.lock_id,
        ai_response = d.ai_response::jsonb,
        extracted_actions = d.extracted_actions::jsonb,
        intent = d.intent,
        confidence = d.confidence,
        model_used = d.model_used,
        ai_processing_time_ms = d.ai_processing_time_ms,
        started_at = coalesce(j.started_at, clock_timestamp()),
        queue_time_ms = 1000
            * extract(epoch from coalesce(j.started_at, clock_timestamp()) - j.created_at),
        committed_at = clock_timestamp(),
        finished_at = case when not d.is_delivered then clock_timestamp() end,
        dead_letter_at = case when d.status = 'failed' then clock_timestamp() end,
        delivery_body = case when d.is_delivered then d.delivery_body end,
        delivery_status = case when d.is_delivered then 'pending' end,
        delivery_seq = case when d.is_delivered then nextval('delivery_seq') end,
        delivery_attempts = (d.is_delivered and d.delivering)::integer,
        -- With a live owner nobody else looks at it; after the owner's death it is due.
        next_delivery_at = case when d.is_delivered then clock_timestamp() end
    from judged d
    where j.id = d.job_id and d.outcome = 'done'
),
settled as (
    update conversations c
    set last_position = greatest(c.last_position, d.last_position),
        total_messages = c.total_messages + (d.reply is not null)::integer,
        status = d.conversation_status,
        context_start = coalesce(d.context_start, c.context_start),
        owner = d.owner,
        lock_id = d.lock_id,
        lease_kind = d.lease_kind,
        owner_until = clock_timestamp() + make_interval(secs => d.owner_ttl_seconds),
        running_job_id = null,
        running_since = null,
        last_settled_at = clock_timestamp()
    from judged d
    where c.conversation_id = d.conversation_id and d.outcome = 'done'
)
select conversation_id, case when outcome = 'already' then 'done' else outcome end as outcome
from judged;

-- name: settle_messages
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bigint[]
    ) with ordinality
        as t (conversation_id, epoch, message_id, job_id, status, reason, place, ordinal)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
job as materialized (
    select j.id, j.status, j.reason, i.ordinal
    from owned o
    join input i on i.conversation_id = o.conversation_id
    join jobs j on j.id = i.job_id and j.conversation_id = i.conversation_id
    for no key update of j
),
message as materialized (
    select m.id, m.processed_at, m.job_id, i.ordinal
    from owned o
    join input i on i.conversation_id = o.conversation_id
    join messages m on m.conversation_id = i.conversation_id and m.message_id = i.message_id
    for no key update of m
),
judged as materialized (
    select
        i.*,
        m.id as row_id,
        case
            when m.processed_at is not null and m.job_id = i.job_id
                and j.status = i.status and j.reason is not distinct from i.reason then 'already'
            when o.epoch is distinct from i.epoch then 'fenced'
            when j.status = 'cancelled' then 'cancelled'
            when j.id is null or m.id is null or m.processed_at is not null
                or m.job_id <> i.job_id then 'stale'
            else 'done'
        end as outcome
    from input i
    left join owned o on o.conversation_id = i.conversation_id
    left join job j on j.ordinal = i.ordinal
    left join message m on m.ordinal = i.ordinal
),
processed as (
    update messages m
    set processed_at = clock_timestamp(), turn_job_id = null, "position" = d.place
    from judged d
    where m.id = d.row_id and d.outcome = 'done'
),
finished as (
    update jobs j
    set status = d.status,
        outcome_status = d.status,
        reason = d.reason,
        superseded_by = null,
        epoch = d.epoch,
        finished_at = clock_timestamp()
    from judged d
    where j.id = d.job_id and d.outcome = 'done'
),
settled as (
    update conversations c
    set last_position = greatest(c.last_position, d.place), last_settled_at = clock_timestamp()
    from (
        select conversation_id, max(place) as place
        from judged
        where outcome = 'done'
        group by conversation_id
    ) as d
    where c.conversation_id = d.conversation_id
)
select ordinal, case when outcome = 'already' then 'done' else outcome end as outcome
from judged
order by ordinal;

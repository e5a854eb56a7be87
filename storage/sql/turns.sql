-- Every statement here locks the conversations in key order, then jobs, then messages. The locking
-- reads return the newest committed version of a row, whatever the statement's snapshot says, so
-- one statement can judge and write. Messages and jobs are locked only under their conversation.
-- `is_done` is a column of its own, and lists are grouped once, because the planner's guesses about
-- them decide whether a large batch is joined by hashing or by comparing every pair. For that reason
-- a condition on a job stands inside the lateral read that locks it: outside, it would be a join.

-- name: start_turns
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::uuid[], $4::integer[], $11::integer[],
        $12::double precision[]
    ) with ordinality as t (
        conversation_id, epoch, job_id, message_count, attempts, owner_ttl_seconds, turn
    )
),
input_message as (
    select * from unnest($5::bigint[], $6::text[], $7::text[], $8::integer[])
        as t (turn, conversation_id, message_id, ordinal)
),
listed as (
    select turn, array_agg(message_id order by ordinal) as message_ids
    from input_message
    group by turn
),
input_superseded as (
    select * from unnest($9::bigint[], $10::uuid[]) as t (turn, job_id)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
job as materialized (
    select i.turn, found.*
    from owned o
    join input i on i.conversation_id = o.conversation_id
    cross join lateral (
        select j.id, j.status, j.committed_at
        from jobs j
        where j.id = i.job_id and j.conversation_id = i.conversation_id
        for no key update
    ) as found
),
held as materialized (
    select n.turn, n.ordinal, found.id, found.processed_at is null as is_pending
    from owned o
    join input_message n on n.conversation_id = o.conversation_id
    cross join lateral (
        select m.id, m.processed_at
        from messages m
        where m.conversation_id = n.conversation_id and m.message_id = n.message_id
        for no key update
    ) as found
),
counted as (
    select turn, count(*) as pending from held where is_pending group by turn
),
judged as materialized (
    select
        i.*,
        case
            when o.epoch is distinct from i.epoch then 'fenced'
            when j.id is null then 'stale'
            when j.committed_at is not null
                or j.status not in ('queued', 'processing', 'superseded') then 'cancelled'
            when n.pending is distinct from i.message_count then 'stale'
            else 'done'
        end as outcome
    from input i
    left join owned o on o.conversation_id = i.conversation_id
    left join job j on j.turn = i.turn
    left join counted n on n.turn = i.turn
),
decided as materialized (
    select *, outcome = 'done' as is_done from judged
),
started as (
    update jobs j
    set status = 'processing',
        superseded_by = null,
        message_ids = l.message_ids,
        consolidated_messages = d.message_count,
        epoch = d.epoch,
        started_at = coalesce(j.started_at, clock_timestamp()),
        finished_at = null
    from decided d
    join listed l on l.turn = d.turn
    where j.id = d.job_id and d.is_done
),
superseded as (
    update jobs j
    set status = 'superseded',
        superseded_by = d.job_id,
        finished_at = coalesce(j.finished_at, clock_timestamp())
    from decided d
    join input_superseded s on s.turn = d.turn
    where d.is_done
        and j.id = s.job_id
        and j.id <> d.job_id
        and j.conversation_id = d.conversation_id
        and j.committed_at is null
        and j.status in ('queued', 'processing', 'superseded')
),
assigned as (
    update messages m
    set turn_job_id = d.job_id
    from held h
    join decided d on d.turn = h.turn
    where m.id = h.id and d.is_done
),
released as materialized (
    -- A turn that is tried again with its first message alone lets go of the others.
    select found.id, found.job_id, d.job_id as turn_job_id
    from decided d
    cross join lateral (
        select m.id, m.job_id
        from messages m
        where m.conversation_id = d.conversation_id
            and m.processed_at is null
            and m.turn_job_id = d.job_id
        limit 1000
    ) as found
    where d.is_done
        and d.attempts > 0
        and not exists (select from held h where h.turn = d.turn and h.id = found.id)
),
freed as (
    update messages m
    set turn_job_id = null
    from released r
    where m.id = r.id
),
requeued as (
    update jobs j
    set status = 'queued', superseded_by = null, finished_at = null
    from released r
    where j.id = r.job_id
        and j.id <> r.turn_job_id
        and j.superseded_by = r.turn_job_id
        and j.status = 'superseded'
),
running as (
    update conversations c
    set running_job_id = d.job_id,
        running_since = case
            when c.running_job_id = d.job_id then c.running_since
            else clock_timestamp()
        end,
        attempts = greatest(c.attempts, d.attempts),
        -- Those who have no Redis keep away for as long.
        owner_until = greatest(
            c.owner_until, clock_timestamp() + make_interval(secs => d.owner_ttl_seconds)
        )
    from decided d
    where c.conversation_id = d.conversation_id and d.is_done
)
select turn, outcome from decided order by turn;

-- name: commit_turns
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[],
        $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::double precision[],
        $14::text[], $15::text[], $16::text[], $17::text[], $18::double precision[], $19::text[],
        $20::double precision[], $21::text[], $22::boolean[], $34::integer[], $35::text[],
        $36::double precision[], $23::integer[]
    ) with ordinality as t (
        conversation_id, epoch, job_id, status, reason, first_position, reply,
        conversation_status, context_start, owner, lock_id, lease_kind, owner_ttl_seconds,
        bot_id, ai_response, extracted_actions, intent, confidence, model_used,
        ai_processing_time_ms, delivery_body, delivering, attempts, error,
        began_seconds_ago, message_count, turn
    )
),
input_message as (
    select * from unnest($24::bigint[], $25::text[], $26::text[], $27::integer[])
        as t (turn, conversation_id, message_id, ordinal)
),
listed as (
    select turn, array_agg(message_id order by ordinal) as message_ids
    from input_message
    group by turn
),
input_action as (
    select * from unnest($28::bigint[], $29::integer[], $30::text[], $31::text[], $32::text[],
        $33::text[]) as t (turn, ordinal, action_type, data, status, error)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
job as materialized (
    select i.turn, found.*
    from owned o
    join input i on i.conversation_id = o.conversation_id
    cross join lateral (
        select j.id, j.status, j.committed_at, j.epoch, j.created_at, j.started_at
        from jobs j
        where j.id = i.job_id and j.conversation_id = i.conversation_id
        for no key update
    ) as found
),
held as materialized (
    select n.turn, n.ordinal, found.id, found.processed_at is null as is_pending
    from owned o
    join input_message n on n.conversation_id = o.conversation_id
    cross join lateral (
        select m.id, m.processed_at
        from messages m
        where m.conversation_id = n.conversation_id and m.message_id = n.message_id
        for no key update
    ) as found
),
counted as (
    select turn, count(*) as pending from held where is_pending group by turn
),
judged as materialized (
    select
        i.*,
        -- What stands in the context after this turn.
        i.first_position + i.message_count - 1 + (i.reply is not null)::integer as last_position,
        i.delivery_body is not null and i.status <> 'cancelled' as is_delivered,
        coalesce(
            j.started_at,
            greatest(j.created_at, clock_timestamp() - make_interval(secs => i.began_seconds_ago))
        ) as began_at,
        case
            when j.committed_at is not null and j.epoch = i.epoch then 'already'
            when o.epoch is distinct from i.epoch then 'fenced'
            when j.id is null then 'stale'
            when j.committed_at is not null
                or j.status not in ('queued', 'processing', 'superseded') then 'cancelled'
            when n.pending is distinct from i.message_count then 'stale'
            else 'done'
        end as outcome
    from input i
    left join owned o on o.conversation_id = i.conversation_id
    left join job j on j.turn = i.turn
    left join counted n on n.turn = i.turn
),
decided as materialized (
    select *, outcome = 'done' as is_done from judged
),
processed as (
    update messages m
    set processed_at = clock_timestamp(),
        turn_job_id = d.job_id,
        "position" = d.first_position + h.ordinal
    from held h
    join decided d on d.turn = h.turn
    where m.id = h.id and d.is_done
),
replied as (
    insert into messages (
        conversation_id, job_id, turn_job_id, sender_id, sender_type, bot_id, content,
        "timestamp", "position", processed_at
    )
    select
        conversation_id, job_id, job_id, bot_id, 'bot', bot_id, reply,
        extract(epoch from clock_timestamp()), last_position, clock_timestamp()
    from decided
    where is_done and reply is not null
),
acted as (
    insert into message_actions (conversation_id, job_id, ordinal, action_type, data, status, error)
    select d.conversation_id, d.job_id, a.ordinal, a.action_type, a.data::jsonb, a.status, a.error
    from input_action a
    join decided d on d.turn = a.turn
    where d.is_done and d.status <> 'cancelled'
),
committed as (
    update jobs j
    set status = case when d.is_delivered then 'processing' else d.status end,
        outcome_status = d.status,
        reason = d.reason,
        superseded_by = null,
        message_ids = l.message_ids,
        consolidated_messages = d.message_count,
        bot_id = d.bot_id,
        epoch = d.epoch,
        lock_id = d.lock_id,
        attempts = d.attempts,
        error = d.error,
        ai_response = d.ai_response::jsonb,
        extracted_actions = d.extracted_actions::jsonb,
        intent = d.intent,
        confidence = d.confidence,
        model_used = d.model_used,
        ai_processing_time_ms = d.ai_processing_time_ms,
        started_at = d.began_at,
        queue_time_ms = 1000 * extract(epoch from d.began_at - j.created_at),
        committed_at = clock_timestamp(),
        finished_at = case when not d.is_delivered then clock_timestamp() end,
        dead_letter_at = case when d.status = 'failed' then clock_timestamp() end,
        delivery_body = case when d.is_delivered then d.delivery_body end,
        delivery_status = case when d.is_delivered then 'pending' end,
        delivery_seq = case when d.is_delivered then nextval('delivery_seq') end,
        delivery_attempts = (d.is_delivered and d.delivering)::integer,
        -- With a live owner nobody else looks at it; after the owner's death it is due.
        next_delivery_at = case when d.is_delivered then clock_timestamp() end
    from decided d
    join listed l on l.turn = d.turn
    where j.id = d.job_id and d.is_done
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
        attempts = 0,
        last_settled_at = clock_timestamp()
    from decided d
    where c.conversation_id = d.conversation_id and d.is_done
)
select turn, case when outcome = 'already' then 'done' else outcome end as outcome
from decided
order by turn;

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
    select i.ordinal, found.*
    from owned o
    join input i on i.conversation_id = o.conversation_id
    cross join lateral (
        select j.id, j.status, j.reason
        from jobs j
        where j.id = i.job_id and j.conversation_id = i.conversation_id
        for no key update
    ) as found
),
message as materialized (
    select i.ordinal, found.*
    from owned o
    join input i on i.conversation_id = o.conversation_id
    cross join lateral (
        select m.id, m.processed_at, m.job_id
        from messages m
        where m.conversation_id = i.conversation_id and m.message_id = i.message_id
        for no key update
    ) as found
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
decided as materialized (
    select *, outcome = 'done' as is_done from judged
),
processed as (
    update messages m
    set processed_at = clock_timestamp(), turn_job_id = null, "position" = d.place
    from decided d
    where m.id = d.row_id and d.is_done
),
finished as (
    update jobs j
    set status = d.status,
        outcome_status = d.status,
        reason = d.reason,
        superseded_by = null,
        epoch = d.epoch,
        finished_at = clock_timestamp()
    from decided d
    where j.id = d.job_id and d.is_done
),
settled as (
    update conversations c
    set last_position = greatest(c.last_position, d.place),
        attempts = case when d.had_its_turn then 0 else c.attempts end,
        last_settled_at = clock_timestamp()
    from (
        select
            conversation_id,
            max(place) as place,
            -- The others are ended in passing, while a turn may be running.
            bool_or(coalesce(reason in ('with_agent', 'bot_disabled'), false)) as had_its_turn
        from decided
        where is_done
        group by conversation_id
    ) as d
    where c.conversation_id = d.conversation_id
)
select ordinal, case when outcome = 'already' then 'done' else outcome end as outcome
from decided
order by ordinal;

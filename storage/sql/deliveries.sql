-- name: start_deliveries
with input as (
    select * from unnest($1::text[], $2::bigint[], $3::uuid[])
        as t (conversation_id, epoch, job_id)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
started as (
    update jobs j
    set delivery_attempts = j.delivery_attempts + 1,
        -- Should its host die of this attempt, the next owner lets some time pass.
        next_delivery_at = clock_timestamp() + make_interval(
            secs => case
                when j.delivery_attempts > 0 then power(2, least(j.delivery_attempts, 6) - 1)
                else 0
            end
        )
    from input i
    join owned o on o.conversation_id = i.conversation_id and o.epoch = i.epoch
    where j.id = i.job_id
        and j.conversation_id = i.conversation_id
        and j.delivery_status = 'pending'
    returning j.id
)
select
    i.conversation_id,
    case
        when o.epoch is distinct from i.epoch then 'fenced'
        when s.id is null then 'cancelled'
        else 'done'
    end as outcome
from input i
left join owned o on o.conversation_id = i.conversation_id
left join started s on s.id = i.job_id;

-- name: record_deliveries
-- What was sent is recorded whoever the owner is. The first record, whatever it says, makes the
-- job final.
with input as (
    select *
    from unnest(
        $1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::integer[], $6::double precision[],
        $7::text[]
    ) as t (conversation_id, epoch, job_id, result, actions_executed, retry_in_seconds, error)
),
owned as materialized (
    select c.conversation_id, c.epoch
    from conversations c
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update
),
job as materialized (
    select i.conversation_id, found.*
    from owned o
    join input i on i.conversation_id = o.conversation_id
    cross join lateral (
        select j.id, j.delivery_status
        from jobs j
        where j.id = i.job_id and j.conversation_id = i.conversation_id
        for no key update
    ) as found
),
judged as materialized (
    select
        i.*,
        case
            when j.delivery_status in ('sent', 'dead') and j.delivery_status = i.result
                then 'already'
            when i.result <> 'sent' and o.epoch is distinct from i.epoch then 'fenced'
            when j.delivery_status = 'pending' then 'done'
            when j.delivery_status = 'dead' and i.result = 'sent' then 'done'
            else 'cancelled'
        end as outcome
    from input i
    left join owned o on o.conversation_id = i.conversation_id
    left join job j on j.conversation_id = i.conversation_id
),
decided as materialized (
    select *, outcome = 'done' as is_done from judged
),
recorded as (
    update jobs j
    set status = j.outcome_status,
        finished_at = coalesce(j.finished_at, clock_timestamp()),
        delivery_status = case d.result when 'retry' then 'pending' else d.result end,
        delivery_body = case when d.result <> 'sent' then j.delivery_body end,
        delivery_error = d.error,
        actions_executed = case
            when d.result = 'sent' then d.actions_executed
            else j.actions_executed
        end,
        next_delivery_at = case
            when d.result = 'retry'
                then clock_timestamp() + make_interval(secs => d.retry_in_seconds)
        end,
        dead_letter_at = case
            -- A failed turn is one already, unless its messages were asked for again meanwhile.
            when j.outcome_status = 'failed' then j.dead_letter_at
            when d.result = 'dead' then coalesce(j.dead_letter_at, clock_timestamp())
        end
    from decided d
    where j.id = d.job_id and d.is_done
    returning j.id, j.delivery_attempts, d.result, d.error
),
acted as (
    update message_actions a
    set status = case r.result when 'sent' then 'sent' when 'dead' then 'failed' else a.status end,
        error = r.error,
        retry_count = greatest(r.delivery_attempts - 1, 0),
        updated_at = clock_timestamp()
    from recorded r
    where a.job_id = r.id and a.status in ('pending', 'failed')
)
select conversation_id, case when outcome = 'already' then 'done' else outcome end as outcome
from decided;

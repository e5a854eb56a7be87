-- name: insert_messages
-- One statement, hence one transaction and one round trip, for the plain case. Message keys are
-- inserted in key order, then the conversations locked in key order: two batches never deadlock.
-- `seq` is drawn in the order of arrival, before the sort, while nobody else accepts messages of
-- the same conversations: so it is the order of their commits too, whoever accepts them.
-- Conversations are written after the messages because only a message that is really new may count
-- in them.
with arrived as (
    select *
    from unnest(
        $1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[],
        $7::double precision[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
        $13::text[], $14::bigint[]
    ) as t (
        conversation_id, message_id, job_id, sender_id, sender_type, content,
        "timestamp", bot_id, metadata, attachments, digest, parts,
        context, expected_seq
    )
),
alone as materialized (
    select pg_advisory_xact_lock(key)
    from (
        select distinct hashtextextended(conversation_id, 0) as key from arrived order by key
    ) as keys
),
expected as (
    select conversation_id, max(expected_seq) as last_seq
    from arrived
    where expected_seq is not null
    group by conversation_id
),
input as (
    select nextval((select pg_get_serial_sequence('messages', 'seq')::regclass)) as seq, a.*
    from arrived a
    cross join (select count(*) from alone) as locked
),
inserted as (
    insert into messages (
        seq, conversation_id, message_id, job_id, sender_id, sender_type, content,
        "timestamp", bot_id, metadata, attachments, digest, parts, context
    )
    select
        seq, conversation_id, message_id, job_id, sender_id, sender_type, content,
        -- As in `accepted_at`, which has it by default.
        coalesce("timestamp", extract(epoch from now())::double precision),
        bot_id, metadata::jsonb, attachments::jsonb, digest, parts::jsonb,
        context::jsonb
    from input
    order by conversation_id collate "C", message_id collate "C", seq
    on conflict (conversation_id, message_id) do nothing
    returning seq, conversation_id, message_id, job_id, bot_id, "timestamp", accepted_at
),
latest as (
    select
        conversation_id,
        count(*) as new_messages,
        max(seq) as last_seq,
        (array_agg(message_id order by seq desc))[1] as message_id,
        (array_agg("timestamp" order by seq desc))[1] as "timestamp",
        (array_agg(bot_id order by seq desc))[1] as bot_id
    from inserted
    group by conversation_id
),
touched as (
    insert into conversations as c (
        conversation_id, bot_id, total_messages, last_message_id, last_message_timestamp, last_seq
    )
    select conversation_id, bot_id, new_messages, message_id, "timestamp", last_seq
    from latest
    order by conversation_id
    on conflict (conversation_id) do update set
        bot_id = excluded.bot_id,
        total_messages = c.total_messages + excluded.total_messages,
        last_message_id = excluded.last_message_id,
        last_message_timestamp = excluded.last_message_timestamp,
        last_accepted_at = greatest(c.last_accepted_at, excluded.last_accepted_at),
        previous_seq = c.last_seq,
        last_seq = excluded.last_seq
    returning c.conversation_id, c.epoch, c.status, c.previous_seq
),
made as (
    insert into jobs (id, conversation_id, bot_id, message_ids)
    select job_id, conversation_id, bot_id, array[message_id] from inserted
),
backlog as materialized (
    -- What was pending before this statement: counted once for each conversation, however many
    -- messages it has in this batch.
    select
        t.conversation_id,
        (
            select count(*)
            from (
                select from messages p
                where p.conversation_id = t.conversation_id and p.processed_at is null
                limit 1000
            ) as pending
        ) as pending,
        -- Nobody else may have stored a message since the identities of these were looked up.
        case
            when t.previous_seq <> e.last_seq then conversation_changed(t.conversation_id)
            else true
        end as is_as_expected
    from touched t
    left join expected e on e.conversation_id = t.conversation_id
)
select
    i.job_id::text as job_id,
    i.seq,
    coalesce(lag(i.seq) over (partition by i.conversation_id order by i.seq), t.previous_seq)
        as previous_seq,
    t.epoch,
    t.status,
    extract(epoch from i.accepted_at)::double precision as accepted_at,
    -- And what came earlier in this batch.
    b.pending + row_number() over (partition by i.conversation_id order by i.seq) - 1
        as unfinished_jobs
from inserted i
join touched t on t.conversation_id = i.conversation_id
join backlog b on b.conversation_id = i.conversation_id
where b.is_as_expected;

-- name: find_stored
-- The message as it is stored, and the job that answers it.
select
    w.ordinal,
    m.message_id,
    m.seq,
    m.content,
    extract(epoch from m.accepted_at)::double precision as accepted_at,
    own.id::text as own_job_id,
    own.status as own_status,
    coalesce(answering.id, own.id)::text as job_id,
    coalesce(answering.status, own.status) as job_status,
    c.epoch,
    c.status
from unnest($1::text[], $2::text[]) with ordinality as w (conversation_id, message_id, ordinal)
join messages m on m.conversation_id = w.conversation_id and m.message_id = w.message_id
join conversations c on c.conversation_id = w.conversation_id
join jobs own on own.id = m.job_id
left join jobs answering on answering.id = own.superseded_by
order by w.ordinal;

-- name: revive_messages
-- Rejected messages that were sent again: whoever finds the old job's id in place wins.
with wanted as (
    select *
    from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[])
        as t (conversation_id, message_id, old_job_id, new_job_id)
),
alone as materialized (
    select pg_advisory_xact_lock(key)
    from (
        select distinct hashtextextended(conversation_id, 0) as key from wanted order by key
    ) as keys
),
locked as materialized (
    select c.conversation_id, c.epoch, c.status
    from conversations c
    cross join (select count(*) from alone) as first
    where c.conversation_id = any ($1::text[])
    order by c.conversation_id
    for no key update of c
),
revived as (
    update messages m
    set job_id = w.new_job_id,
        turn_job_id = null,
        processed_at = null,
        accepted_at = now(),
        seq = nextval((select pg_get_serial_sequence('messages', 'seq')::regclass))
    from wanted w
    join locked l on l.conversation_id = w.conversation_id
    where m.conversation_id = w.conversation_id
        and m.message_id = w.message_id
        and m.job_id = w.old_job_id
        and m.processed_at is not null
    returning m.conversation_id, m.message_id, m.job_id, m.seq, m.bot_id, m.content, m.accepted_at
),
made as (
    insert into jobs (id, conversation_id, bot_id, message_ids)
    select job_id, conversation_id, bot_id, array[message_id] from revived
),
touched as (
    update conversations c
    set last_accepted_at = greatest(c.last_accepted_at, now()),
        previous_seq = c.last_seq,
        last_seq = r.last_seq
    from (
        select conversation_id, max(seq) as last_seq from revived group by conversation_id
    ) as r
    where c.conversation_id = r.conversation_id
)
select
    r.job_id::text as job_id,
    r.message_id,
    r.seq,
    r.content,
    extract(epoch from r.accepted_at)::double precision as accepted_at,
    l.epoch,
    l.status,
    (
        select count(*)
        from (
            select from messages p
            where p.conversation_id = r.conversation_id and p.processed_at is null
            limit 1000
        ) as pending
    ) as unfinished_jobs
from revived r
join locked l on l.conversation_id = r.conversation_id;

-- name: lock_conversations
-- Locks conversations, making those that are new, before their messages are looked at; first in the
-- way that `insert_messages` does, since it comes next.
with alone as materialized (
    select pg_advisory_xact_lock(key)
    from (
        select distinct hashtextextended(conversation_id, 0) as key
        from unnest($1::text[]) as t (conversation_id)
        order by key
    ) as keys
)
insert into conversations as c (conversation_id)
select t.conversation_id
from unnest($1::text[]) as t (conversation_id)
cross join (select count(*) from alone) as first
order by t.conversation_id collate "C"
on conflict (conversation_id) do update set epoch = c.epoch;

-- name: identities
-- By message id, or the latest message with the digest; and, once for each conversation, what is
-- pending there. The ids made from a digest are the digest itself and `digest.n`: they stand
-- together in the index of message ids, before `digest/`.
select
    w.conversation_id,
    coalesce(c.last_seq, 0) as last_seq,
    found.message_id,
    coalesce(
        found.message_id = w.message_id
        or coalesce(answering.status, own.status) in ('queued', 'processing')
        or found.accepted_at > now() - make_interval(secs => $4::double precision),
        false
    ) as holds,
    case when w.is_first then (
        select json_agg(json_build_array(p.message_id, p.content, p.parts) order by p.seq)::text
        from messages p
        where p.conversation_id = w.conversation_id and p.processed_at is null
    ) end as pending
from (
    select t.*, row_number() over (partition by conversation_id order by ordinal) = 1 as is_first
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality
        as t (conversation_id, message_id, digest, ordinal)
) as w
left join conversations c on c.conversation_id = w.conversation_id
left join lateral (
    select m.message_id, m.job_id, m.accepted_at
    from messages m
    where m.conversation_id = w.conversation_id
        and m.message_id >= coalesce(w.message_id, w.digest) collate "C"
        and m.message_id <= coalesce(w.message_id, w.digest || '/') collate "C"
        and (m.message_id = w.message_id or m.digest = w.digest)
    order by m.seq desc
    limit 1
) as found on true
left join jobs own on own.id = found.job_id
left join jobs answering on answering.id = own.superseded_by
order by w.ordinal;

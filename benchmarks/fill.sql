-- Conversations with turns that are over, as the product leaves them. Read by benchmarks/fill.py;
-- {prefix}, {conversations} and {turns} are its.

-- The id of a job by its name, in the order of time, as the product makes them.
create or replace function pg_temp.job_id(name text, turns_ago integer) returns uuid
language sql immutable
return (
    lpad(to_hex(1767225600000 - 1000 * turns_ago::bigint), 12, '0')
    || '7' || substr(md5(name), 1, 3) || '8' || substr(md5(name), 4, 15)
)::uuid;

-- Foreign keys hold by construction; checking them row by row would take most of the time.
set session_replication_role = replica;

insert into conversations (
    conversation_id, bot_id, epoch, last_position, total_messages, last_message_id,
    last_message_timestamp, last_accepted_at, last_settled_at
)
select
    '{prefix}-' || c, 'default', 1, 2 * {turns}, 2 * {turns}, 'filled-' || c || '-' || {turns},
    extract(epoch from now()) - 86400, now() - interval '1 day', now() - interval '1 day'
from generate_series(1, {conversations}) as c;

insert into jobs (
    id, conversation_id, bot_id, status, outcome_status, message_ids, epoch, lock_id, ai_response,
    extracted_actions, intent, confidence, model_used, ai_processing_time_ms, queue_time_ms,
    delivery_status, delivery_seq, delivery_attempts, actions_executed, created_at, started_at,
    committed_at, finished_at
)
select
    pg_temp.job_id('{prefix}-' || c || '-' || t, {turns} - t), '{prefix}-' || c, 'default',
    'completed', 'completed',
    array['filled-' || c || '-' || t], 1, gen_random_uuid()::text,
    jsonb_build_object(
        'response_text', repeat('I will help you to book an appointment. ', 3),
        'intent', 'book_appointment', 'confidence', 0.95, 'model_used', 'stub'
    ),
    jsonb_build_array(jsonb_build_object(
        'type', 'send_message',
        'data', jsonb_build_object('message', repeat('I will help you to book an appointment. ', 3))
    )),
    'book_appointment', 0.95, 'stub', 50, 5, 'sent', nextval('delivery_seq'), 1, 1,
    now() - interval '1 day', now() - interval '1 day', now() - interval '1 day',
    now() - interval '1 day'
from generate_series(1, {turns}) as t, generate_series(1, {conversations}) as c
order by t, c;

insert into messages (
    conversation_id, message_id, job_id, turn_job_id, sender_id, sender_type, bot_id, content,
    "timestamp", "position", accepted_at, processed_at
)
select
    '{prefix}-' || c,
    case when side = 1 then 'filled-' || c || '-' || t end,
    pg_temp.job_id('{prefix}-' || c || '-' || t, {turns} - t),
    pg_temp.job_id('{prefix}-' || c || '-' || t, {turns} - t),
    case when side = 1 then 'user' else 'default' end,
    case when side = 1 then 'user' else 'bot' end,
    'default',
    repeat('I would like to book an appointment. ', 3),
    extract(epoch from now()) - 86400, 2 * (t - 1) + side, now() - interval '1 day',
    now() - interval '1 day'
from
    generate_series(1, {turns}) as t,
    generate_series(1, {conversations}) as c,
    generate_series(1, 2) as side
order by t, c, side;

insert into message_actions (conversation_id, job_id, ordinal, action_type, data, status)
select
    conversation_id, id, 0, 'send_message', extracted_actions -> 0 -> 'data', 'sent'
from jobs
where conversation_id like '{prefix}-%';

update conversations c
set last_seq = m.last_seq, previous_seq = m.last_seq - 1
from (
    select conversation_id, max(seq) as last_seq from messages group by conversation_id
) as m
where m.conversation_id = c.conversation_id and c.conversation_id like '{prefix}-%';

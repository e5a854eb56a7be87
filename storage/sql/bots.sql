-- One bot, or (null) all of them.
-- name: read_bots
select b.bot_id, b.name, b.enabled, b.settings::text as settings, b.overrides::text as overrides,
       a.url, a.path, a.model, a.system_prompt, a.timeout_seconds, a.max_attempts,
       a.settings::text as ai_settings,
       p.base_url, p.path as platform_path
from bots b
left join ai_cores a on a.id = b.ai_core_id
left join platforms p on p.id = b.platform_id
where $1::text is null or b.bot_id = $1
order by b.bot_id
limit $2

-- Two writers of one bot come one after the other, also while it does not exist.
-- name: lock_bot
select pg_advisory_xact_lock(hashtextextended($1, 0))

-- name: parts_of_bot
select ai_core_id, platform_id from bots where bot_id = $1

-- name: count_other_bots
select count(*) as bots from bots where bot_id <> $1

-- name: insert_ai_core
insert into ai_cores (url, path, model, system_prompt, timeout_seconds, max_attempts, settings)
values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
returning id

-- name: insert_platform
insert into platforms (base_url, path)
values ($1, $2)
returning id

-- name: put_bot
insert into bots (bot_id, name, enabled, settings, overrides, ai_core_id, platform_id)
values ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6, $7)
on conflict (bot_id) do update
set name = excluded.name,
    enabled = excluded.enabled,
    settings = excluded.settings,
    overrides = excluded.overrides,
    ai_core_id = excluded.ai_core_id,
    platform_id = excluded.platform_id,
    updated_at = now()

-- name: delete_bot
delete from bots where bot_id = $1

-- What an operator let several bots share stays.
-- name: delete_ai_core
delete from ai_cores where id = $1 and not exists (select from bots where ai_core_id = $1)

-- name: delete_platform
delete from platforms where id = $1 and not exists (select from bots where platform_id = $1)

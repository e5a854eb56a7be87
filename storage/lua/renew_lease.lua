-- Extend leases, each if it is still held under its lock id.
-- KEYS the leases; ARGV: TTL in ms, then the lock id of each.
-- Returns the places (from 1) of those that are not ours any more; a key that holds something else
-- has its place negated, and stops none of the others.
local not_renewed = {}
for place, key in ipairs(KEYS) do
  local held = redis.pcall('HGET', key, 'lock_id')
  if type(held) == 'table' then
    table.insert(not_renewed, -place)
  elseif held == ARGV[place + 1] then
    redis.call('PEXPIRE', key, ARGV[1])
  else
    table.insert(not_renewed, place)
  end
end
return not_renewed

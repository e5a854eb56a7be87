-- Take a lease that is free, already ours (a retry), or held by an owner known to be dead.
-- KEYS[1] the lease; ARGV: owner, cluster, lock id, TTL in ms, dead owner ('' for none).
-- Returns {} when granted, else {owner, cluster, ms left}.
local held = redis.call('HMGET', KEYS[1], 'owner', 'cluster', 'lock_id')
if held[1] then
  local is_retry = held[1] == ARGV[1] and held[3] == ARGV[3]
  local is_dead = ARGV[5] ~= '' and held[1] == ARGV[5]
  if not (is_retry or is_dead) then
    return {held[1], held[2], redis.call('PTTL', KEYS[1])}
  end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'cluster', ARGV[2], 'lock_id', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {}

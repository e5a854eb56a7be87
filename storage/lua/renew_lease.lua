-- Extend a lease that is still held under this lock id.
-- KEYS[1] the lease; ARGV: lock id, TTL in ms. Returns 1, or 0 when it is not ours any more.
if redis.call('HGET', KEYS[1], 'lock_id') ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])

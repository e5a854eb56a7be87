-- Replace the cached state of a conversation, unless a later owner has written it already.
-- A context that is there stays where none is given and the position is the same.
-- KEYS[1] the state; ARGV: TTL in ms, epoch, position, then pairs of field and value.
-- Returns 1, or 0 when what is there is newer. Epoch and position stay below 2^53.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if stored[1] then
  local ahead = tonumber(stored[1]) - tonumber(ARGV[2])
  if ahead > 0 or (ahead == 0 and tonumber(stored[2]) > tonumber(ARGV[3])) then
    return 0
  end
end
if stored[2] ~= ARGV[3] then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'position', ARGV[3], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1

-- Note that conversations were active just now, by Redis's clock: those of the hosts may differ.
-- KEYS[1] part of the index; ARGV: TTL in seconds, largest number of members, then the members.
-- Returns how many members there are.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
for place = 3, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[place])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - tonumber(ARGV[1])))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[2]) - 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('ZCARD', KEYS[1])

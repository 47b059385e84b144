-- Open a shard, once. KEYS: lease, open, shard. ARGV: token, shard id, first item, items.
-- Returns 'ok', 'exists' or 'fenced'.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
local seen = redis.pcall('HMGET', KEYS[3], 'attempt', 'items')
if seen[1] and seen[2] then return 'exists' end
-- What a restart has kept of a shard, or a stranger has written, is none: no process could ever take it.
redis.call('DEL', KEYS[3])
local t = redis.call('TIME')
redis.call('HSET', KEYS[3], 'items', ARGV[4], 'attempt', 1, 'sent', t[1] + t[2] / 1e6)
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
return 'ok'

-- Forget a shard whose rows are on the owner's disk. KEYS: lease, open, shard. ARGV: token, shard id.
-- Returns 'ok' or 'fenced'.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[2])
return 'ok'

-- The first commit of an open shard wins; all later ones are dropped. KEYS: shard, done. ARGV: shard id, result.
-- Returns 'ok', 'committed' or 'closed'.
if redis.call('HEXISTS', KEYS[1], 'attempt') == 0 then return 'closed' end
if redis.call('HEXISTS', KEYS[1], 'committed') == 1 then return 'committed' end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'result', ARGV[2], 'committed', t[1] + t[2] / 1e6)
redis.call('RPUSH', KEYS[2], ARGV[1])
return 'ok'

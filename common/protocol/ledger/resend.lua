-- An overdue shard gets a new attempt; the old one can no longer be claimed. KEYS: lease, shard.
-- ARGV: token, the attempt that is overdue, why: what is counted, and what kills it, if that is known. Returns {'ok', attempt, times} or {why not}.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end
local attempt, committed, by = unpack(redis.call('HMGET', KEYS[2], 'attempt', 'committed', 'by'))
if not attempt then return {'closed'} end
if committed then return {'committed'} end
if attempt ~= ARGV[2] then return {'stale'} end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[2], 'by', 'claimed', 'fate', 'suspect')
redis.call('HSET', KEYS[2], 'sent', t[1] + t[2] / 1e6, 'ahead', 1)
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'killer', ARGV[4]) end
-- The slow one goes on beside the new attempt: should it die, that counts.
if ARGV[3] == 'slow' and by then redis.call('HSET', KEYS[2], 'rival:' .. attempt, by) end
local times = redis.call('HINCRBY', KEYS[2], 'times:' .. ARGV[3], 1)
return {'ok', redis.call('HINCRBY', KEYS[2], 'attempt', 1), times}

-- What became of a claim that will bring no result. KEYS: shard. ARGV: attempt, process, fate, item ('' for none).
-- Returns 'ok', or 'stale' where the claim is no longer theirs.
local attempt, by, committed = unpack(redis.call('HMGET', KEYS[1], 'attempt', 'by', 'committed'))
if not attempt or committed or attempt ~= ARGV[1] or by ~= ARGV[2] then return 'stale' end
redis.call('HSET', KEYS[1], 'fate', ARGV[3], 'suspect', ARGV[4])
return 'ok'

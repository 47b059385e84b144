-- The first commit of an open shard wins; all later ones are dropped. KEYS: shard, done. ARGV: shard id, result.
-- Of a shard's beginning, whose process hands back the rest with the same step, also: attempt, process.
-- Returns 'ok', 'committed', 'closed', or 'stale' where another process has a second attempt, and may do it all.
if redis.call('HEXISTS', KEYS[1], 'attempt') == 0 then return 'closed' end
if redis.call('HEXISTS', KEYS[1], 'committed') == 1 then return 'committed' end
if ARGV[3] then
  local attempt, by = unpack(redis.call('HMGET', KEYS[1], 'attempt', 'by'))
  if attempt ~= ARGV[3] or by ~= ARGV[4] then return 'stale' end
end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'result', ARGV[2], 'committed', t[1] + t[2] / 1e6)
redis.call('RPUSH', KEYS[2], ARGV[1])
return 'ok'

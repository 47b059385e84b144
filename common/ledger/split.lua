-- Close a shard and open its parts in one step. KEYS: lease, open, parent, then the parts.
-- ARGV: token, parent id, then id, first item, items of each part. Returns 'ok' or why not.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
if redis.call('EXISTS', KEYS[3]) == 0 then return 'closed' end
if redis.call('HEXISTS', KEYS[3], 'committed') == 1 then return 'committed' end
-- Slow processes that died at a part's first item, beside the one that is to blame for the split.
local died = {}
for i = 0, #KEYS - 4 do died[i] = redis.call('HGET', KEYS[3], 'died:' .. ARGV[4 + 3 * i]) end
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[2])
local t = redis.call('TIME')
for i = 0, #KEYS - 4 do
  redis.call('HSET', KEYS[4 + i], 'items', ARGV[5 + 3 * i], 'attempt', 1, 'sent', t[1] + t[2] / 1e6)
  if died[i] then redis.call('HSET', KEYS[4 + i], 'times:died', died[i]) end
  redis.call('ZADD', KEYS[2], ARGV[4 + 3 * i], ARGV[3 + 3 * i])
end
return 'ok'

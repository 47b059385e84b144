-- Close a shard and open its parts in one step. KEYS: lease, open, parent, then the parts.
-- ARGV: token, parent id, 1 where its beginning is committed and its parts are the rest, else 0; then id, first item,
-- items of each part, in their order. Returns 'ok' or why not.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
if redis.call('EXISTS', KEYS[3]) == 0 then return 'closed' end
if redis.call('HEXISTS', KEYS[3], 'committed') ~= tonumber(ARGV[3]) then return 'committed' end
local fields = redis.call('HGETALL', KEYS[3])
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[2])
local t = redis.call('TIME')
for i = 0, #KEYS - 4 do
  -- What is sent again goes to the front of its queue.
  local sent = t[1] + t[2] / 1e6
  redis.call('HSET', KEYS[4 + i], 'items', ARGV[6 + 3 * i], 'attempt', 1, 'sent', sent, 'ahead', 1)
  redis.call('ZADD', KEYS[2], ARGV[5 + 3 * i], ARGV[4 + 3 * i])
end
-- Slow processes that died at an image, beside one that went on, are held against the part that it is in.
for f = 1, #fields, 2 do
  local item = tonumber(fields[f]:match('^died:(%d+)$'))
  if item then
    for i = #KEYS - 4, 0, -1 do
      if tonumber(ARGV[5 + 3 * i]) <= item then
        redis.call('HSET', KEYS[4 + i], fields[f], fields[f + 1])
        redis.call('HINCRBY', KEYS[4 + i], 'times:died', fields[f + 1])
        break
      end
    end
  end
end
return 'ok'

-- What became of a claim that will bring no result. KEYS: shard, the item's shard where it is alone in one.
-- ARGV: attempt, process, fate, item ('' for none). Returns 'ok', or 'stale' where the claim is no longer theirs.
local attempt, by, committed, rival =
  unpack(redis.call('HMGET', KEYS[1], 'attempt', 'by', 'committed', 'rival:' .. ARGV[1]))
local died_at_it = ARGV[3] ~= 'handed_back' and ARGV[4] ~= ''
if not attempt then
  -- Another attempt died first, and the image is tried alone by now: this death is one more.
  local open = redis.call('HMGET', KEYS[2], 'attempt', 'committed')
  if died_at_it and open[1] and not open[2] and redis.call('HSETNX', KEYS[2], 'blamed:' .. ARGV[2], 1) == 1 then
    redis.call('HINCRBY', KEYS[2], 'times:died', 1)
  end
  return 'stale'
end
if committed then return 'stale' end
if attempt == ARGV[1] and by == ARGV[2] then
  redis.call('HSET', KEYS[1], 'fate', ARGV[3], 'suspect', ARGV[4])
  return 'ok'
end
-- A slow process, beside whose claim there is a second attempt: that one goes on, but its image has cost one process.
if rival == ARGV[2] then
  redis.call('HDEL', KEYS[1], 'rival:' .. ARGV[1])
  if died_at_it then
    redis.call('HINCRBY', KEYS[1], 'times:died', 1)
    redis.call('HINCRBY', KEYS[1], 'died:' .. ARGV[4], 1)
  end
  return 'ok'
end
return 'stale'

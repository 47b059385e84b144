-- Forget shards whose rows are on the owner's disk. KEYS: lease, open, shards. ARGV: token, shard ids.
-- Returns 'ok' or 'fenced'.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
for i = 3, #KEYS do
  redis.call('DEL', KEYS[i])
  redis.call('ZREM', KEYS[2], ARGV[i - 1])
end
return 'ok'

-- Take or renew a run's lease. KEYS: lease, run. ARGV: token held ('' for none), life in ms, lowest new token.
-- Returns the fencing token, or 0 when another owner has it.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
if ARGV[1] ~= '' then
  -- Lost or flushed: the holder may have it back only while nobody newer took a token.
  if not held and tonumber(redis.call('HGET', KEYS[2], 'fence') or '0') > tonumber(ARGV[1]) then return 0 end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return tonumber(ARGV[1])
end
local token = math.max(tonumber(redis.call('HGET', KEYS[2], 'fence') or '0') + 1, tonumber(ARGV[3]))
redis.call('HSET', KEYS[2], 'fence', token)
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return token

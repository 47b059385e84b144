-- Take or renew a run's lease. KEYS: lease, run. ARGV: token held ('' for none), life in ms, lowest new token.
-- Returns the fencing token, or 0 when another owner has it.
local held = redis.call('GET', KEYS[1])
local fence = tonumber(redis.call('HGET', KEYS[2], 'fence') or '0')
local token = tonumber(ARGV[1])
if token then
  -- Held by an owner before this one: a replica is the master now that had not heard of this one yet.
  -- Lost or flushed: the holder may have it back only while nobody newer took a token.
  if (held and tonumber(held) or fence) > token then return 0 end
elseif held then
  return 0
else
  token = math.max(fence + 1, tonumber(ARGV[3]))
end
if fence < token then redis.call('HSET', KEYS[2], 'fence', token) end
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return token

-- A process takes a shard's current attempt. KEYS: run, shard. ARGV: attempt, process, spec digest, most bytes of items.
-- Returns {'ok', items, where the items' bytes are} or {why not}.
local state, digest, cargo = unpack(redis.call('HMGET', KEYS[1], 'state', 'spec_digest', 'cargo'))
if not state then return {'closed'} end
if state ~= 'running' and state ~= 'submitting' then return {state} end
if digest ~= ARGV[3] then return {'spec'} end
local attempt, by, committed, items = unpack(redis.call('HMGET', KEYS[2], 'attempt', 'by', 'committed', 'items'))
if not attempt or not items then return {'closed'} end
if #items > tonumber(ARGV[4]) then return {'large'} end
if committed then return {'committed'} end
if attempt ~= ARGV[1] then return {'stale'} end
-- A second delivery of the same attempt: whoever has it goes on; should that process be dead, the owner sends anew.
if by and by ~= ARGV[2] then return {'claimed'} end
local t = redis.call('TIME')
redis.call('HSET', KEYS[2], 'by', ARGV[2], 'claimed', t[1] + t[2] / 1e6)
return {'ok', items, cargo or ''}

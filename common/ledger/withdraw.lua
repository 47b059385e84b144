-- Take a run's messages out of a list of its detector's queue, some of them at a time. KEYS: list. ARGV: what only its
-- messages have in them, most messages. Returns how many were taken.
-- In one step, for the list moves: workers take from its end, owners put in at its front.
local taken, most, last = 0, tonumber(ARGV[2]), redis.call('LLEN', KEYS[1]) - 1
-- From its end, piece by piece: the list may be long, and a script's memory is the server's.
for stop = last, 0, -1000 do
  local messages = redis.call('LRANGE', KEYS[1], math.max(0, stop - 999), stop)
  for i = #messages, 1, -1 do
    if string.find(messages[i], ARGV[1], 1, true) then
      taken = taken + redis.call('LREM', KEYS[1], -1, messages[i])
      if taken >= most then return taken end
    end
  end
end
return taken

-- Take a run's messages out of a list of its detector's queue, some of them at a time. KEYS: list. ARGV: what only its
-- messages have in them, most messages. Returns how many were taken.
-- In one step, for the list moves: workers take from its end, owners put in at its front. Emptied first, where they
-- are, and then taken out together: to look for each of them would walk past everybody else's each time.
local taken, most = 0, tonumber(ARGV[2])
local first, length = 0, redis.call('LLEN', KEYS[1])
-- Piece by piece: the list may be long, and a script's memory is the server's.
while first < length and taken < most do
  for i, message in ipairs(redis.call('LRANGE', KEYS[1], first, first + 999)) do
    if taken < most and string.find(message, ARGV[1], 1, true) then
      redis.call('LSET', KEYS[1], first + i - 1, '')
      taken = taken + 1
    end
  end
  first = first + 1000
end
if taken > 0 then redis.call('LREM', KEYS[1], 0, '') end
return taken

-- Results of committed shards, none of them larger than its reader has room for. KEYS: shards. ARGV: most bytes.
-- Returns one for each: false where there is none, nothing where it is of no use.
local found = {}
for i, key in ipairs(KEYS) do
  local length = redis.pcall('HSTRLEN', key, 'result')
  if type(length) ~= 'number' or length > tonumber(ARGV[1]) then
    found[i] = ''
  else
    found[i] = redis.call('HGET', key, 'result')
  end
end
return found

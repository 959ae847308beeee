-- The names that contain a text, of `count` calls, without the `start` whose last message is newest.
-- Returns how many were compared, then the names.
local start = tonumber(ARGV[5])
local count = tonumber(ARGV[6])
local part = ARGV[7]

local names = redis.call('ZREVRANGE', P .. 'calls', start, start + count - 1)
local found = {#names}
for _, name in ipairs(names) do
  if string.find(name, part, 1, true) then
    found[#found + 1] = name
  end
end
return found

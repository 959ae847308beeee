-- The names of calls that begin with one of some texts, or end with a text.
-- Returns at most `limit` for each text; some of them may have expired.
local limit = tonumber(ARGV[5])
local ending = ARGV[6]
local FIRST_BEGINNING = 7 -- the beginnings are the arguments from here on

local function beginning_with(order, text)
  local names = {}
  local first = page_of(order, text)
  -- No name has this byte, since all are UTF-8.
  local beyond = '(' .. text .. '\255'
  repeat
    local page = order .. ':' .. first
    local some = redis.call('ZRANGEBYLEX', page, '[' .. text, beyond, 'LIMIT', 0, limit - #names)
    for _, name in ipairs(some) do
      names[#names + 1] = name
    end
    first = redis.call('ZRANGEBYLEX', order, '(' .. first, beyond, 'LIMIT', 0, 1)[1]
  until not first or #names >= limit
  return names
end

local found = {}
for i = FIRST_BEGINNING, #ARGV do
  for _, name in ipairs(beginning_with(ORDERS[1], ARGV[i])) do
    found[#found + 1] = name
  end
end
for _, name in ipairs(beginning_with(ORDERS[2], string.reverse(ending))) do
  found[#found + 1] = string.reverse(name)
end
return found

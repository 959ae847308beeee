-- Put the names of calls that are still kept into their order. Returns how many are kept.
local FIRST = 5 -- the names are the arguments from here on
local count = 0
for i = FIRST, #ARGV do
  if redis.call('EXISTS', P .. 'call:' .. ARGV[i]) == 1 then
    add_id(ARGV[i])
    count = count + 1
  end
end
return count

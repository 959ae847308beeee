-- Read the records of many calls: a pipeline of as many commands takes its client ten times as long.
-- Returns for each call its packed record, or how many of its messages no worker has read if it has none.
local FIRST_CALL = 5 -- the names of the calls are the arguments from here on

local found = {}
for i = FIRST_CALL, #ARGV do
  local record = redis.call('HGET', P .. 'call:' .. ARGV[i], 'rec')
  found[#found + 1] = record or redis.call('LLEN', P .. 'pending:' .. ARGV[i])
end
return found

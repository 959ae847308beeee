-- Read the records of many calls: a pipeline of as many commands takes its client ten times as long.
-- Returns for each call its packed record, or how many of its messages no worker has read if it has none.
local FIRST_CALL = 5 -- the names of the calls are the arguments from here on

-- What stands for such a record: a packed one of which all is lost.
local OTHER_TYPE = '\1'
local found = {}
for i = FIRST_CALL, #ARGV do
  -- pcall: a key of another type must not keep the others from being read.
  local record = redis.pcall('HGET', P .. 'call:' .. ARGV[i], 'rec')
  if type(record) == 'table' then
    record = OTHER_TYPE
  end
  local unread = not record and redis.pcall('LLEN', P .. 'pending:' .. ARGV[i])
  found[#found + 1] = record or (type(unread) == 'number' and unread) or 0
end
return found

-- Take the names of calls that are kept no more out of the list of all calls, and out of their
-- order. Returns how many were taken out.
local FIRST = 5 -- the names are the arguments from here on
local count = 0
for i = FIRST, #ARGV do
  local ref = ARGV[i]
  -- A message may have come since the caller looked.
  if redis.call('EXISTS', P .. 'call:' .. ref, P .. 'pending:' .. ref) == 0 then
    redis.call('ZREM', P .. 'calls', ref)
    drop_id(ref)
    count = count + 1
  end
end
return count

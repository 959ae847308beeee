-- Remove a failed entry for good. Returns 1 = removed, 0 = there was none.
local entry_id = ARGV[5] -- the name of a call, or the id of a message
local keep_call_ms = ARGV[6] -- how long its call, if it is one, is kept from now on

local removed = redis.call('ZREM', P .. 'failed', entry_id)
redis.call('DEL', P .. 'f:' .. entry_id)
-- While it was on the list, the call was kept for longer.
redis.call('PEXPIRE', P .. 'call:' .. entry_id, keep_call_ms)
return removed

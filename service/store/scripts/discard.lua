-- Take a failed entry off the list for good; its call, if it is one, is no longer kept without an end. 1 = taken, 0 = it was gone.
local entry, keep_call_ms = ARGV[5], ARGV[6]
local removed = redis.call('ZREM', P .. 'failed', entry)
redis.call('DEL', P .. 'f:' .. entry)
redis.call('PEXPIRE', P .. 'call:' .. entry, keep_call_ms)
return removed

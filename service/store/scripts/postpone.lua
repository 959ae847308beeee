-- Set when a call is to be run next; its job runs now and sets the alarm when it ends. Returns 1.
local ref = ARGV[5]
local at_ms = ARGV[6] -- ms since the epoch

redis.call('ZADD', P .. 'due', at_ms, ref)
return 1

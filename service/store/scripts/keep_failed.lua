-- Keep a genuine message that cannot be read: raw, and as failed. 1 = kept, 0 = seen before.
local id, dedupe_ms, keep_ms, entry = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call('EXISTS', P .. 'seen:' .. id) == 1 then
  return 0
end
redis.call('HSET', P .. 'm:' .. id, unpack(ARGV, 9))
redis.call('PEXPIRE', P .. 'm:' .. id, keep_ms)
redis.call('SET', P .. 'seen:' .. id, '1', 'PX', dedupe_ms)
redis.call('SET', P .. 'f:' .. id, entry)
redis.call('ZADD', P .. 'failed', now_ms(), id)
return 1

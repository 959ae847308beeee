-- Keep one message and set its call's alarm, in one step. 1 = kept, 0 = seen before, -1 = too many messages wait.
local id, ref, dedupe_ms, max_pending = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
if redis.call('EXISTS', P .. 'seen:' .. id) == 1 then
  return 0
end
if redis.call('ZCARD', P .. 'inbox') >= max_pending then
  return -1
end
local now = now_ms()
redis.call('HSET', P .. 'm:' .. id, 'ref', ref, unpack(ARGV, 9))
redis.call('SET', P .. 'seen:' .. id, '1', 'PX', dedupe_ms)
redis.call('RPUSH', P .. 'pending:' .. ref, id)
redis.call('ZADD', P .. 'inbox', now, id)
wake(ref, now)
return 1

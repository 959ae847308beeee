-- Keep one message and set its call's alarm, in one step. 1 = kept, 0 = seen before, -1 = too many messages wait.
-- ARGV[5..]: id, ref, ms for which the id is kept beside the message (0 = the message is there for as long), most to wait, the packed message.
local id, ref, dedupe_ms, max_pending = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
if redis.call('EXISTS', P .. 'm:' .. id, P .. 'seen:' .. id) > 0 then
  return 0
end
if redis.call('ZCARD', P .. 'inbox') >= max_pending then
  return -1
end
local now = now_ms()
redis.call('SET', P .. 'm:' .. id, ref .. '\n' .. ARGV[9])
if dedupe_ms ~= '0' then
  redis.call('SET', P .. 'seen:' .. id, '', 'PX', dedupe_ms)
end
redis.call('RPUSH', P .. 'pending:' .. ref, id)
redis.call('ZADD', P .. 'inbox', now, id)
local source = string.match(ref, '^[^:]+')
redis.call('HSET', P .. 'heard', 'message:' .. source, now)
redis.call('HINCRBY', P .. 'hours:' .. source, math.floor(now / HOUR_MS), 1)
wake(ref, now)
return 1

-- Keep a genuine message that cannot be read: raw, and as failed. 1 = kept, 0 = seen before.
-- ARGV[5..]: id, source, ms for which the id is kept beside the message (as for accept), ms for which the message is, the entry, the packed
-- message.
local id, source, dedupe_ms, keep_ms, entry = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
if redis.call('EXISTS', P .. 'm:' .. id, P .. 'seen:' .. id) > 0 then
  return 0
end
redis.call('SET', P .. 'm:' .. id, '\n' .. ARGV[10], 'PX', keep_ms)
if dedupe_ms ~= '0' then
  redis.call('SET', P .. 'seen:' .. id, '', 'PX', dedupe_ms)
end
redis.call('SET', P .. 'f:' .. id, entry)
local now = now_ms()
redis.call('ZADD', P .. 'failed', now, id)
-- What cannot be read was sent all the same: its source is not silent.
redis.call('HSET', P .. 'heard', 'message:' .. source, now)
redis.call('HINCRBY', P .. 'hours:' .. source, math.floor(now / HOUR_MS), 1)
return 1

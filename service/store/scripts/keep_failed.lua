-- Keep a genuine message that cannot be read: raw, and as a failed entry.
-- Returns 1 = kept, 0 = repeated.
local message_id = ARGV[5]
local source = ARGV[6]
local dedupe_ms = ARGV[7] -- how long the id is kept beside the message; '0' = not at all
local keep_ms = ARGV[8] -- how long the message is kept
local entry = ARGV[9] -- JSON
local packed_message = ARGV[10]

if redis.call('EXISTS', P .. 'm:' .. message_id, P .. 'seen:' .. message_id) > 0 then
  return 0
end
-- The first line is empty: no call can be named.
redis.call('SET', P .. 'm:' .. message_id, '\n' .. packed_message, 'PX', keep_ms)
if dedupe_ms ~= '0' then
  redis.call('SET', P .. 'seen:' .. message_id, '', 'PX', dedupe_ms)
end
redis.call('SET', P .. 'f:' .. message_id, entry)
local now = now_ms()
redis.call('ZADD', P .. 'failed', now, message_id)
-- A source whose messages cannot be read is not silent.
redis.call('HSET', P .. 'heard', 'message:' .. source, now)
redis.pcall('HINCRBY', P .. 'hours:' .. source, math.floor(now / HOUR_MS), 1)
return 1

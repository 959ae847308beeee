-- Keep a link, and wake its call if it is known.
-- Returns {1 if the link is new, 1 if the call is known}.
local ref = ARGV[5]
local link_text = ARGV[6] -- JSON
local keep_ms = tonumber(ARGV[7])

local now = now_ms()
local is_new = redis.call('EXISTS', P .. 'link:' .. ref) == 0
redis.call('SET', P .. 'link:' .. ref, link_text, 'PX', keep_ms)
-- Scored by its end, so that what has expired can be taken off the index in one command.
redis.call('ZADD', P .. 'links', now + keep_ms, ref)
redis.call('ZREMRANGEBYSCORE', P .. 'links', '-inf', now)
-- A call that is not known yet reads its link at its first job, and needs no alarm.
local is_known = redis.call('EXISTS', P .. 'call:' .. ref) == 1
if is_known then
  wake_known(ref, now)
end
return {is_new and 1 or 0, is_known and 1 or 0}

-- Keep a link, and wake its call if it is known.
-- Returns {1 if the link is new, 1 if the call is known}.
local ref = ARGV[5]
local link_text = ARGV[6] -- JSON
local keep_ms = tonumber(ARGV[7])

local now = now_ms()
local is_new = redis.call('EXISTS', P .. 'link:' .. ref) == 0
redis.call('SET', P .. 'link:' .. ref, link_text, 'PX', keep_ms)
redis.call('ZADD', P .. 'links', now + keep_ms, ref)
redis.call('ZREMRANGEBYSCORE', P .. 'links', '-inf', now)
local is_known = redis.call('EXISTS', P .. 'call:' .. ref) == 1
if is_known then
  wake(ref, now)
end
return {is_new and 1 or 0, is_known and 1 or 0}

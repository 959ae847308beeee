-- Keep a link; a call that is already known is woken at once.
-- Returns {1 if the link is new, 1 if the call is known}.
local ref, text, keep_ms = ARGV[5], ARGV[6], tonumber(ARGV[7])
local is_new = redis.call('EXISTS', P .. 'link:' .. ref) == 0
redis.call('SET', P .. 'link:' .. ref, text, 'PX', keep_ms)
redis.call('ZADD', P .. 'links', now_ms() + keep_ms, ref)
redis.call('ZREMRANGEBYSCORE', P .. 'links', '-inf', now_ms())
local known = redis.call('EXISTS', P .. 'call:' .. ref) == 1
if known then
  wake(ref, now_ms())
end
return {is_new and 1 or 0, known and 1 or 0}

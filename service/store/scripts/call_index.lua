-- Keeps the index of calls, see `service.store.call_index`.
-- `at` is the time of the call's last message, `keep_ms` how long this call is kept from now on,
-- `keep_call_ms` how long calls are kept at least.
local function index_call(ref, at, buckets, keep_ms, keep_call_ms)
  -- GT adds a call that is not there. A message that no worker has read yet has put it higher.
  redis.call('ZADD', P .. 'calls', 'GT', string.format('%.0f', at), ref)
  for _, bucket in ipairs(buckets) do
    local name = P .. bucket
    if redis.call('ZADD', name, 'CH', string.format('%.0f', at), ref) == 1 then
      redis.call('ZREMRANGEBYRANK', name, 0, -1 - CALLS_PER_BUCKET)
      -- With each call that comes in, two that have expired may go.
      local before = string.format('%.0f', now_ms() - keep_call_ms)
      for _, other in ipairs(redis.call('ZRANGEBYSCORE', name, '-inf', before, 'LIMIT', 0, 2)) do
        if redis.call('EXISTS', P .. 'call:' .. other) == 0 then
          redis.call('ZREM', name, other)
        end
      end
    end
    if redis.call('PTTL', name) < keep_ms then
      -- A day more, so that this is written once a day and not with each call.
      redis.call('PEXPIRE', name, string.format('%.0f', keep_ms + 24 * HOUR_MS))
    end
  end
end

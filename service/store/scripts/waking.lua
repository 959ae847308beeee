-- Wake a known call without a new message: `tail` would not see an old one whose job begins and ends
-- between two of its polls.
local function wake_known(ref, at)
  wake(ref, at)
  redis.call('ZADD', P .. 'woken', at, ref)
  redis.call('ZREMRANGEBYRANK', P .. 'woken', 0, -1 - WOKEN_CALLS)
  redis.call('PEXPIRE', P .. 'woken', WOKEN_TTL_MS)
end

-- Let the calls at the head of the lane go as far as the budget reaches. ARGV[6..]: cost per call, lease_ms, most to let go.
-- A name that starts with # is a request of the worker's own: it costs 1 and has no job.
-- Returns {let go, calls still waiting, when to ask again in ms (0 = nobody waits)}.
local call_cost, lease_ms, most = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local now = now_ms()
local gone, ask_at = 0, 0
while gone < most do
  local head = redis.call('ZRANGE', P .. 'lane', 0, 0, 'WITHSCORES')
  local ref = head[1]
  if not ref then
    break
  end
  local own = string.sub(ref, 1, 1) == '#'
  local cost = own and 1 or call_cost
  ask_at = free_at(now, cost)
  if ask_at > 0 then
    break
  end
  redis.call('ZREM', P .. 'lane', ref)
  local key = P .. 'permit:' .. ref
  if redis.call('EXISTS', key) == 0 then
    redis.call('SET', key, 'g:' .. grant(ref, cost, now + lease_ms), 'PX', lease_ms)
  end
  if not own then
    -- Before everything that is not read yet, since its permit runs out; should it run out all the same, the call gets its place back.
    redis.call('HSET', P .. 'lane_at', ref, head[2])
    wake(ref, now)
    arm(ref, 1)
  end
  gone = gone + 1
end
local waiting = redis.call('ZCARD', P .. 'lane')
if waiting > 0 and ask_at == 0 then
  ask_at = now
end
return {gone, waiting, waiting > 0 and math.max(ask_at - now, 1) or 0}

-- Ask for permits for a call. ARGV[6..]: ref, cost, hold_ms (longest that the requests may take), lane score ('' = now).
-- Returns {1, ids} granted; {0, wait_ms} waits in the lane; {2, wait_ms} another run of this call holds permits.
local ref, cost, hold_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local now = now_ms()
local key = P .. 'permit:' .. ref
local held = redis.call('GET', key)
if held then
  if string.sub(held, 1, 2) ~= 'g:' then
    return {2, redis.call('PTTL', key)}
  end
  local ids = string.sub(held, 3)
  for id in string.gmatch(ids, '[^,]+') do
    redis.call('ZADD', P .. 'limit', now + hold_ms, id)
  end
  redis.call('SET', key, 'u:' .. ids, 'PX', hold_ms)
  redis.call('HDEL', P .. 'lane_at', ref)
  return {1, ids}
end
local head = redis.call('ZRANGE', P .. 'lane', 0, 0)[1]
local at = free_at(now, cost)
if at == 0 and (not head or head == ref) then
  local ids = grant(ref, cost, now + hold_ms)
  redis.call('SET', key, 'u:' .. ids, 'PX', hold_ms)
  redis.call('ZREM', P .. 'lane', ref)
  return {1, ids}
end
local place = ARGV[9] ~= '' and ARGV[9] or redis.call('HGET', P .. 'lane_at', ref) or now
redis.call('HDEL', P .. 'lane_at', ref)
redis.call('ZADD', P .. 'lane', 'NX', place, ref)
return {0, math.max(0, (at == 0 and now or at) - now)}

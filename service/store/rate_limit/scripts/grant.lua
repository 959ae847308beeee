-- Ask for permits for a call, or let it wait in its lane.
-- Returns {1, permits, ms until the first may be used} = granted; {0, ms to wait, 1 if Buildr is
-- away} = it waits in the lane; {2, ms to wait} = another job of this call holds permits.
local ref = ARGV[6]
local cost = tonumber(ARGV[7]) -- requests
local hold_ms = tonumber(ARGV[8]) -- the longest that one request may take
local lane = ARGV[9]
local since_ms = tonumber(ARGV[10]) -- the age that counts in the lane
local newest_above = tonumber(ARGV[11]) -- calls in a lane above which the newest go first
local expected_ms = tonumber(ARGV[12]) -- the present by the worker's clock; '' = not known
local now = now_ms()
notice_step_ahead(now, expected_ms)
local key = P .. 'permit:' .. ref

local function blocked_until()
  return tonumber(redis.call('GET', P .. 'blocked') or '0') or 0
end

-- `u:ids` are permits in use by a job, `g:start:ids` those that the pump has granted and no job has
-- taken yet.
local grant = redis.call('GET', key)
-- Requests of one call must never be under way at the same time: they could arrive in either order,
-- and the older outcome could be what stays in Buildr.
if grant and string.sub(grant, 1, 2) == 'u:' then
  return {2, math.max(1, redis.call('PTTL', key))}
end
if grant then
  local start, permits = string.match(grant, '^g:(%d+):(.*)$')
  local _, count = string.gsub(permits, '[^,]+', '')
  local is_free = breaker_at(now, ref) == 0 and blocked_until() <= now + AHEAD_MS
  if count >= cost and is_free then
    for permit in string.gmatch(permits, '[^,]+') do
      redis.call('ZADD', P .. 'limit', now + hold_ms, permit)
    end
    redis.call('SET', key, 'u:' .. permits, 'PX', hold_ms)
    note_probe(ref, now, now + hold_ms)
    leave_lanes(ref)
    local starts_at = math.max(tonumber(start), blocked_until())
    return {1, permits, math.max(0, starts_at - now)}
  end
  -- Too few, since the call needs more requests now; or everything has been stopped meanwhile.
  for permit in string.gmatch(permits, '[^,]+') do
    redis.call('ZREM', P .. 'limit', permit)
  end
  redis.call('DEL', key)
end
local budget_at = free_at(now, cost)
local probe_at = breaker_at(now, ref)
leave_lanes(ref)
-- Only if no call waits: a new one must not overtake those in the lanes.
if waiting() == 0 and probe_at <= now and budget_at <= now + AHEAD_MS then
  local permits = new_permits(cost, now + hold_ms)
  redis.call('SET', key, 'u:' .. permits, 'PX', hold_ms)
  note_probe(ref, now, now + hold_ms)
  return {1, permits, math.max(0, budget_at - now)}
end
join_lane(ref, lane, since_ms, cost)
return {0, math.max(0, math.max(budget_at, probe_at) - now), is_open() and 1 or 0}

-- Let waiting calls go as far as the budget reaches. ARGV[6..]: lease_ms, most to let go, newest_above, who asks, 1 if there is a reason.
-- One of the workers keeps the time for all, so that they do not all wake at once; the others ask when something has happened at theirs.
-- A name that starts with # is a request that has no job.
-- Returns {let go, calls still waiting, when to ask again in ms (0 = nobody waits)}.
local lease_ms, most, newest_above = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local me, has_reason = ARGV[9], ARGV[10] == '1'
local keeper = redis.call('GET', P .. 'keeper') or me
if keeper == me and me ~= '' then
  redis.call('SET', P .. 'keeper', me, 'PX', KEEPER_MS)
elseif not has_reason then
  return {0, waiting(), OTHERS_MS}
end
local now = now_ms()
local gone, ask_at = 0, 0
while gone < most do
  local ref, lane = head(newest_above)
  if not ref then
    break
  end
  if is_open() then
    ask_at = breaker_at(now, '')
    if ask_at > now then
      break
    end
    local b = redis.call('HMGET', P .. 'breaker', 'tries', 'last')
    if ref == b[2] or tonumber(b[1] or '0') % 2 == 1 then
      -- The one that has just failed goes again only if nobody else waits.
      local other, its_lane = somebody(b[2])
      ref, lane = other or ref, its_lane or lane
    end
  end
  local cost = tonumber(redis.call('HGET', P .. 'lane_cost', ref) or '1')
  ask_at = free_at(now, cost)
  if ask_at > now + AHEAD_MS then
    break
  end
  leave_lanes(ref)
  local key = P .. 'permit:' .. ref
  if redis.call('EXISTS', key) == 0 then
    local start = math.max(ask_at, now)
    redis.call('SET', key, 'g:' .. start .. ':' .. new_permits(cost, start + lease_ms), 'PX', start - now + lease_ms)
    note_probe(ref, start + lease_ms)
  end
  if string.sub(ref, 1, 1) ~= '#' then
    -- Before everything that is not read yet, since its permit runs out.
    wake(ref, now)
    arm(ref, 1)
  end
  if lane ~= LANE.OWN then
    redis.call('INCR', P .. 'turn')
  end
  gone = gone + 1
end
local left = waiting()
if left == 0 then
  -- It grows with time, also while nobody asks.
  allowance(now)
end
if left == 0 then
  return {gone, 0, 0}
elseif keeper ~= me then
  return {gone, left, OTHERS_MS}
end
-- Requests that end elsewhere bring the time forward.
local wait = math.max(math.max(ask_at, now) - AHEAD_MS - now, 1)
return {gone, left, math.min(wait, wait > NEAR_MS and LATER_MS or SOON_MS)}

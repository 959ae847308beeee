-- Release waiting calls as far as the budget reaches.
-- Returns {calls released, calls still waiting, ms until the next question is of use (0 = none), the
-- present}.
-- One worker keeps the time for all, so that they do not all ask at once; the others ask when
-- something has happened at theirs.
local lease_ms = tonumber(ARGV[6]) -- how long a permit is valid that no job takes
local limit = tonumber(ARGV[7]) -- calls to release
local newest_above = tonumber(ARGV[8]) -- calls in a lane above which the newest go first
local worker_id = ARGV[9] -- '' = a command, which never keeps the time
local has_reason = ARGV[10] == '1' -- whether there may be room now
local expected_ms = tonumber(ARGV[11]) -- the present by the worker's clock; '' = not known

local now = now_ms()
notice_step_ahead(now, expected_ms)
local keeper = redis.call('GET', P .. 'keeper') or worker_id
if keeper == worker_id and worker_id ~= '' then
  redis.call('SET', P .. 'keeper', worker_id, 'PX', KEEPER_MS)
elseif not has_reason then
  return {0, waiting(), OTHERS_MS, now}
end
local released = 0
local ask_at = 0
while released < limit do
  local ref, lane = next_call(newest_above)
  if not ref then
    break
  end
  if is_open() then
    ask_at = breaker_at(now, '')
    if ask_at > now then
      break
    end
    local breaker = redis.call('HMGET', P .. 'breaker', 'tries', 'last')
    local last_probe = breaker[2]
    if ref == last_probe or (tonumber(breaker[1] or '0') or 0) % 2 == 1 then
      -- The call that has just failed goes again only if no other waits.
      local other, lane_of_other = random_call(last_probe)
      ref = other or ref
      lane = lane_of_other or lane
    end
  end
  local cost = tonumber(redis.call('HGET', P .. 'lane_cost', ref) or '1') or 1
  ask_at = free_at(now, cost)
  if ask_at > now + AHEAD_MS then
    break
  end
  -- In the same step as the permit: of several pumps at once, each call is released by one.
  leave_lanes(ref)
  local key = P .. 'permit:' .. ref
  -- A call that is in a lane while a job of it still holds permits gets none beside them; it is
  -- only woken, and asks once more.
  if redis.call('EXISTS', key) == 0 then
    local start = math.max(ask_at, now)
    local grant = 'g:' .. start .. ':' .. new_permits(cost, start + lease_ms)
    redis.call('SET', key, grant, 'PX', start - now + lease_ms)
    note_probe(ref, start, start + lease_ms)
  end
  -- A name that starts with # is a request that has no job.
  if string.sub(ref, 1, 1) ~= '#' then
    wake(ref, now)
    -- Before all jobs that are due, since its permit expires.
    -- 1 and not 0, which arq takes for no score: such a job would never start.
    arm(ref, 1)
  end
  if lane ~= LANE.OWN then
    count_up(P .. 'turn', 1)
  end
  released = released + 1
end
local still_waiting = waiting()
if still_waiting == 0 then
  -- The allowance grows with time, also while no call asks.
  allowance(now)
  return {released, 0, 0, now}
end
if keeper ~= worker_id then
  return {released, still_waiting, OTHERS_MS, now}
end
local wait_ms = math.max(math.max(ask_at, now) - AHEAD_MS - now, 1)
-- Not longer, since requests that end at other workers bring the time forward.
return {released, still_waiting, math.min(wait_ms, wait_ms > NEAR_MS and LATER_MS or SOON_MS), now}

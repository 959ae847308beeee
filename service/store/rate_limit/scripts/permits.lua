-- Shared by grant, pump, release and renew: when a request may go.
-- `limit` holds one member per request: its score is the latest time (ms) at which that request may
-- have reached Buildr, so that no window over true arrival times can hold more than the budget.
local BUDGETS = cjson.decode(ARGV[5]) -- [[requests, window in ms], ...]

-- Two clocks may run apart within a window, and either may be rounded.
local function with_margin(window_ms)
  return window_ms + ROUNDING_MS + math.floor(window_ms / DRIFT_DIVISOR)
end

local function shortest_budget()
  local shortest = BUDGETS[1]
  for _, budget in ipairs(BUDGETS) do
    if budget[2] < shortest[2] then
      shortest = budget
    end
  end
  return shortest
end

-- How many requests of the shortest budget are ours: all of them, or fewer since Buildr has
-- answered 429 although we kept to it. Then somebody else uses the account.
local function allowance(now)
  local full = shortest_budget()[1]
  local fields = redis.call('HMGET', P .. 'allowance', 'size', 'grow_at', 'wait', 'good')
  local size = tonumber(fields[1])
  if not size then
    return full
  end
  local grow_at = tonumber(fields[2])
  local wait_ms = tonumber(fields[3])
  if fields[4] then
    wait_ms = GROW_MS
  end
  while now >= grow_at do
    if size >= full then
      redis.call('DEL', P .. 'allowance')
      return full
    end
    -- The last step has gone well, or this is the first one.
    redis.call('HSET', P .. 'allowance', 'good', size, 'size', size + 1, 'grown_at', now,
      'wait', wait_ms, 'grow_at', grow_at + GROW_MS)
    size = size + 1
    grow_at = grow_at + GROW_MS
    wait_ms = GROW_MS
  end
  return math.min(size, full)
end

-- Buildr has answered 429 although we kept to our budgets: take less, and grow again step by step.
local function reduce_allowance(now)
  local fields = redis.call('HMGET', P .. 'allowance', 'size', 'good', 'grown_at', 'cut_at', 'wait')
  local full, window_ms = unpack(shortest_budget())
  local size = tonumber(fields[1]) or full
  local good = tonumber(fields[2])
  local grown_at = tonumber(fields[3]) or 0
  local cut_at = tonumber(fields[4])
  -- Such a request was sent before the last cut took effect.
  if cut_at and now - cut_at < window_ms then
    return
  end
  local wait_ms = GROW_MS
  if good and good < size and now - grown_at < 2 * GROW_MS then
    size = good
    wait_ms = math.min(LONGEST_GROW_MS, 2 * (tonumber(fields[5]) or GROW_MS))
  else
    size = math.max(1, math.floor(size / 2))
  end
  redis.call('DEL', P .. 'allowance')
  redis.call('HSET', P .. 'allowance', 'size', size, 'cut_at', now, 'wait', wait_ms,
    'grow_at', now + wait_ms)
end

-- 0 while requests may go, else when the next one may: an open breaker lets one pass at a time.
local function breaker_at(now, ref)
  local fields = redis.call('HMGET', P .. 'breaker',
    'opened_at', 'probe_at', 'probe', 'probe_until')
  local opened_at, probe_at, probe, probe_until = unpack(fields)
  if not opened_at or probe == ref then
    return 0
  end
  if not tonumber(opened_at) or not tonumber(probe_at) then
    -- Damaged: closed, and opened anew by the failures that come.
    redis.call('DEL', P .. 'breaker')
    return 0
  end
  return math.max(tonumber(probe_at), probe and tonumber(probe_until) or 0, now)
end

-- Count one more in a field of the breaker; a damaged one counts from there.
local function count_in_breaker(field)
  local count = redis.pcall('HINCRBY', P .. 'breaker', field, 1)
  if type(count) == 'number' then
    return count
  end
  redis.call('HSET', P .. 'breaker', field, 1)
  return 1
end

local function is_open()
  return redis.call('HEXISTS', P .. 'breaker', 'opened_at') == 1
end

-- The clock of Redis was set ahead: what counts against the budget would no longer count. `expected`
-- is the present by the monotonic clock of a worker that knew the time a moment ago; of several
-- workers that notice the same step, the first one shifts what counts.
local function notice_step_ahead(now, expected)
  local step_ms = expected and now - expected or 0
  if step_ms < STEP_AHEAD_MS then
    return
  end
  local noticed_at = tonumber(redis.call('HGET', P .. 'clock', 'ahead_at') or '0') or 0
  if noticed_at > expected then
    return
  end
  local counted = redis.call('ZRANGEBYSCORE', P .. 'limit', '-inf', now, 'WITHSCORES')
  for i = 1, #counted, 2 do
    redis.call('ZADD', P .. 'limit', tonumber(counted[i + 1]) + step_ms, counted[i])
  end
  redis.call('HSET', P .. 'clock', 'ahead_at', string.format('%.0f', now))
  redis.pcall('HINCRBY', P .. 'clock', 'ahead', step_ms)
end

-- 0 if `cost` requests may go now, else when they may, as far as can be known now.
local function free_at(now, cost)
  local at = tonumber(redis.call('GET', P .. 'blocked') or '0') or 0
  local shortest = shortest_budget()
  local ours = allowance(now)
  local longest_window = 0
  -- No request is ever under way for so long: the clock of Redis has been set back.
  local latest = '(' .. (now + LONGEST_HOLD_MS)
  local too_late = redis.call('ZRANGEBYSCORE', P .. 'limit', latest, '+inf')
  for _, permit in ipairs(too_late) do
    redis.call('ZADD', P .. 'limit', 'XX', now, permit)
  end
  for _, budget in ipairs(BUDGETS) do
    local requests = budget[1]
    local window = with_margin(budget[2])
    if budget == shortest then
      -- A call that needs several requests gets them, however few are ours.
      requests = math.max(ours, math.min(cost, requests))
    end
    longest_window = math.max(longest_window, window)
    local used = redis.call('ZCOUNT', P .. 'limit', '(' .. (now - window), '+inf')
    local missing = used + cost - requests
    if missing > 0 then
      local expired = redis.call('ZCOUNT', P .. 'limit', '-inf', now - window)
      local rank = expired + missing - 1
      local entry = redis.call('ZRANGE', P .. 'limit', rank, rank, 'WITHSCORES')
      at = math.max(at, (tonumber(entry[2]) or now) + window)
    end
  end
  -- Not at once: a clock that is set back a little must not free what still counts.
  redis.call('ZREMRANGEBYSCORE', P .. 'limit', '-inf', now - longest_window - EXPIRY_GRACE_MS)
  return at > now and at or 0
end

local function new_permits(cost, until_ms)
  local permits = {}
  for _ = 1, cost do
    -- The time is above any count that there has been.
    local permit = count_up(P .. 'permit_count', now_ms())
    redis.call('ZADD', P .. 'limit', until_ms, permit)
    permits[#permits + 1] = permit
  end
  return table.concat(permits, ',')
end

-- While the breaker is open, this request, which may begin at `start_ms`, tests whether Buildr is
-- back. One that gets no answer does not keep the next one waiting until it ends.
local function note_probe(ref, start_ms, until_ms)
  if is_open() then
    until_ms = math.min(until_ms, start_ms + PROBE_WAIT_MS)
    redis.call('HSET', P .. 'breaker', 'probe', ref, 'probe_until', until_ms, 'last', ref)
  end
end

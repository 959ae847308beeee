-- Shared by grant, pump, release and renew: when a request may go, and whose turn it is. ARGV[5]: budgets as [[requests, window_ms], ...].
-- `limit` holds one member per request: its score is the latest time (ms) at which that request may have reached Buildr, so that no window
-- over true arrival times can hold more than the budget.
local BUDGETS = cjson.decode(ARGV[5])

-- A millisecond for rounding, and what two clocks may drift apart within a window.
local function with_margin(window)
  return window + ROUNDING_MS + math.floor(window / DRIFT_DIVISOR)
end

local function burst()
  local shortest = BUDGETS[1]
  for _, budget in ipairs(BUDGETS) do
    if budget[2] < shortest[2] then
      shortest = budget
    end
  end
  return shortest
end

-- How much of the shortest budget is ours: all of it, or less since Buildr has said 429 although we kept to it: somebody else uses the account.
local function allowance(now)
  local full = burst()[1]
  local a = redis.call('HMGET', P .. 'allowance', 'size', 'grow_at', 'wait', 'good')
  local size, grow_at, wait = tonumber(a[1]), tonumber(a[2]), a[4] and GROW_MS or tonumber(a[3])
  if not size then
    return full
  end
  while now >= grow_at do
    if size >= full then
      redis.call('DEL', P .. 'allowance')
      return full
    end
    -- The last step has gone well, or this is the first one.
    redis.call('HSET', P .. 'allowance', 'good', size, 'size', size + 1, 'grown_at', now, 'wait', wait, 'grow_at', grow_at + GROW_MS)
    size, grow_at, wait = size + 1, grow_at + GROW_MS, GROW_MS
  end
  return math.min(size, full)
end

-- Buildr has said 429 although we kept to our budgets: take less, and find back to more step by step.
local function yield(now)
  local a = redis.call('HMGET', P .. 'allowance', 'size', 'good', 'grown_at', 'cut_at', 'wait')
  local full = burst()[1]
  local size, good, grown_at, cut_at = tonumber(a[1]) or full, tonumber(a[2]), tonumber(a[3]) or 0, tonumber(a[4])
  if cut_at and now - cut_at < burst()[2] then
    -- Sent before the last cut took effect.
    return size
  end
  local wait = GROW_MS
  if good and good < size and now - grown_at < 2 * GROW_MS then
    size, wait = good, math.min(LONGEST_GROW_MS, 2 * (tonumber(a[5]) or GROW_MS))
  else
    size = math.max(1, math.floor(size / 2))
  end
  redis.call('DEL', P .. 'allowance')
  redis.call('HSET', P .. 'allowance', 'size', size, 'cut_at', now, 'wait', wait, 'grow_at', now + wait)
  return size
end

-- 0 while requests may go, else when the next one may: an open breaker lets one through at a time.
local function breaker_at(now, ref)
  local b = redis.call('HMGET', P .. 'breaker', 'opened_at', 'probe_at', 'probe', 'probe_until')
  if not b[1] or b[3] == ref then
    return 0
  end
  return math.max(tonumber(b[2]), b[3] and tonumber(b[4]) or 0, now)
end

local function is_open()
  return redis.call('HEXISTS', P .. 'breaker', 'opened_at') == 1
end

-- 0 if `cost` requests may go now, else the time at which they may, as far as can be said now.
local function free_at(now, cost)
  local at = tonumber(redis.call('GET', P .. 'blocked') or '0')
  local longest, short, ours = 0, burst(), allowance(now)
  -- No request is ever under way for so long: the clock of Redis has been set back.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'limit', '(' .. (now + LONGEST_HOLD_MS), '+inf')) do
    redis.call('ZADD', P .. 'limit', 'XX', now, id)
  end
  for _, budget in ipairs(BUDGETS) do
    local requests, window = budget[1], with_margin(budget[2])
    if budget == short then
      -- A call that needs several requests gets them, however little is ours.
      requests = math.max(ours, math.min(cost, requests))
    end
    longest = math.max(longest, window)
    local used = redis.call('ZCOUNT', P .. 'limit', '(' .. (now - window), '+inf')
    local over = used + cost - requests
    if over > 0 then
      local old = redis.call('ZCOUNT', P .. 'limit', '-inf', now - window)
      local entry = redis.call('ZRANGE', P .. 'limit', old + over - 1, old + over - 1, 'WITHSCORES')
      at = math.max(at, (tonumber(entry[2]) or now) + window)
    end
  end
  redis.call('ZREMRANGEBYSCORE', P .. 'limit', '-inf', now - longest - 1000)
  return at > now and at or 0
end

local function new_permits(cost, until_ms)
  local ids = {}
  for _ = 1, cost do
    local id = tostring(redis.call('INCR', P .. 'permit_count'))
    redis.call('ZADD', P .. 'limit', until_ms, id)
    ids[#ids + 1] = id
  end
  return table.concat(ids, ',')
end

-- In an open breaker this one goes to see whether Buildr is back.
local function note_probe(ref, until_ms)
  if is_open() then
    redis.call('HSET', P .. 'breaker', 'probe', ref, 'probe_until', until_ms, 'last', ref)
  end
end

-- Give permits back, and record what the requests showed of Buildr.
-- Returns {ms for which everything is blocked, 1 while the breaker is open, ms of the outage that
-- this ends, 1 if this has opened the breaker, requests of the shortest budget that are ours, 1 if
-- the call was unknown to Buildr before and none has got through since, and how many such calls
-- there are}.
local ref = ARGV[6]
local used = ARGV[7] -- permits of requests that were sent
local unused = ARGV[8]
local permits = ARGV[9] -- all of them as they were granted
local signal = ARGV[10] -- HealthSignal
local detail = ARGV[11] -- ms to wait or '' for `limited`, the cause for `down`
local is_longer_bucket = ARGV[12] == '1' -- a 429 about a longer budget than the shortest
local now = now_ms()

for permit in string.gmatch(used, '[^,]+') do
  -- From the answer on: the request arrived at some time before it. XX, since one that has been
  -- removed as expired must not come back.
  redis.call('ZADD', P .. 'limit', 'XX', now, permit)
end
for permit in string.gmatch(unused, '[^,]+') do
  redis.call('ZREM', P .. 'limit', permit)
end
-- A job that ends late finds the permits of the next one there, and leaves them.
if redis.call('GET', P .. 'permit:' .. ref) == 'u:' .. permits then
  redis.call('DEL', P .. 'permit:' .. ref)
end

-- Commands read calls too (`#replay:`), other requests of the service's own know nothing of calls.
local is_about_call = string.sub(ref, 1, 1) ~= '#' or string.sub(ref, 1, 8) == '#replay:'

local function longest_window()
  local longest_ms = 0
  for _, budget in ipairs(BUDGETS) do
    longest_ms = math.max(longest_ms, budget[2])
  end
  return with_margin(longest_ms)
end

-- Block everything after a 429. Returns ms of the block if Buildr named a time that no budget has.
local function block()
  local blocked_until = tonumber(redis.call('GET', P .. 'blocked') or '0') or 0
  local strikes = tonumber(redis.call('GET', P .. 'strikes') or '0') or 0
  -- Several that were under way at once count as one.
  if strikes == 0 or now > blocked_until then
    strikes = tonumber(count_up(P .. 'strikes', 1))
    redis.call('PEXPIRE', P .. 'strikes', STRIKES_TTL_MS)
  end
  local buildr_ms = tonumber(detail)
  -- Longer than any budget: a proxy's mistake, unless Buildr itself names a budget of its own.
  local longest_ms = longest_window() + 1000 -- Buildr names whole seconds
  local is_beyond = buildr_ms and buildr_ms > longest_ms and not is_longer_bucket
  if is_beyond then
    -- Believed once, as far as it can be true.
    buildr_ms = strikes > 1 and 0 or longest_ms
  end
  -- Buildr's time counts. Without one, or when it does not hold, a growing time of our own.
  local own_ms = 0
  if not buildr_ms or strikes > 1 then
    own_ms = FIRST_BLOCK_MS * 2 ^ math.min(strikes, BLOCK_DOUBLINGS)
    own_ms = math.min(LONGEST_OWN_BLOCK_MS, own_ms)
  end
  local block_ms = math.max(buildr_ms or 0, own_ms, SHORTEST_BLOCK_MS)
  blocked_until = math.max(now + block_ms, blocked_until)
  local ttl_ms = math.max(blocked_until - now, 1) + EXPIRY_GRACE_MS
  redis.call('SET', P .. 'blocked', blocked_until, 'PX', ttl_ms)
  -- The budget of an hour or a day does not become free by a smaller share of the shortest one, and
  -- a proxy's mistake says nothing about who else uses the account.
  if not is_longer_bucket and not is_beyond then
    reduce_allowance(now)
  end
  return is_beyond and blocked_until - now
end

-- A probe may use half of every budget at most: an outage must not spend the budget of the hour.
local function probe_pause_ms(tries, cause)
  local longest_ms = LONGEST_PROBE_MS
  -- Only an operator can end it, and each probe requests a token too.
  if cause == UNAUTHORIZED then
    longest_ms = LONGEST_REFUSED_PROBE_MS
  end
  local pause_ms = math.min(longest_ms, FIRST_PROBE_MS * 2 ^ math.min(tries, PROBE_DOUBLINGS))
  for _, budget in ipairs(BUDGETS) do
    pause_ms = math.max(pause_ms, 2 * math.ceil(budget[2] / budget[1]))
  end
  return math.min(LONGEST_REFUSED_PROBE_MS, pause_ms)
end

local breaker = redis.call('HMGET', P .. 'breaker', 'opened_at', 'probe', 'cause')
local opened_at = tonumber(breaker[1] or '0') or 0
local is_probe = breaker[2] == ref
local open_cause = breaker[3]
local outage_ms = 0
local has_opened = 0
local was_unknown = 0

local function open_breaker(cause, probe_at)
  if opened_at == 0 then
    has_opened = 1
    opened_at = now
    redis.call('HSET', P .. 'breaker', 'opened_at', now, 'tries', 0)
  end
  redis.call('HSET', P .. 'breaker', 'probe_at', probe_at, 'cause', cause)
end

local function close_breaker()
  if opened_at > 0 then
    outage_ms = math.max(1, now - opened_at)
  end
  opened_at = 0
  -- Also with the failures that were counted before it opened: only those in a row count.
  redis.call('DEL', P .. 'breaker')
end

-- The probe has failed: the next one goes after a pause.
local function probe_later(cause)
  local tries = count_in_breaker('tries')
  redis.call('HSET', P .. 'breaker', 'probe_at', now + probe_pause_ms(tries, cause), 'cause', cause)
end

-- Buildr does not know this call. If it knows none, the address or the account is wrong: several
-- calls in a row, over some time, and none that has got through.
local function note_unknown()
  was_unknown = redis.call('ZSCORE', P .. 'unknown', ref) and 1 or 0
  redis.call('ZADD', P .. 'unknown', 'NX', now, ref)
  redis.call('PEXPIRE', P .. 'unknown', UNKNOWN_TTL_MS)
  local oldest = redis.call('ZRANGE', P .. 'unknown', 0, 0, 'WITHSCORES')
  if redis.call('ZCARD', P .. 'unknown') < FAILURES_TO_OPEN or now - oldest[2] < UNKNOWN_MS then
    return
  end
  if opened_at == 0 then
    open_breaker(UNKNOWN_CALLS, now + FIRST_PROBE_MS)
  elseif is_probe then
    probe_later(UNKNOWN_CALLS)
  end
end

if signal == SIGNAL.LIMITED then
  local beyond_ms = block()
  if beyond_ms then
    -- From then on one request at a time, until one gets through.
    open_breaker(RATE_LIMITED, now + beyond_ms)
    redis.call('HDEL', P .. 'breaker', 'probe', 'probe_until')
  else
    close_breaker()
  end
elseif signal == SIGNAL.FINE then
  redis.call('DEL', P .. 'strikes')
  if is_about_call then
    redis.call('DEL', P .. 'unknown')
  end
  if is_about_call or open_cause ~= UNKNOWN_CALLS then
    close_breaker()
  end
elseif signal == SIGNAL.UNKNOWN then
  if open_cause ~= UNKNOWN_CALLS then
    -- An answer, so that it is there again.
    close_breaker()
  end
  if string.sub(ref, 1, 1) ~= '#' then
    note_unknown()
  end
  if is_probe then
    redis.call('HDEL', P .. 'breaker', 'probe', 'probe_until')
  end
elseif signal == SIGNAL.DOWN and opened_at == 0 then
  local failures = count_in_breaker('fails')
  -- A token that is refused a second time refuses every call: there is nothing to wait for.
  if failures >= FAILURES_TO_OPEN or detail == UNAUTHORIZED then
    open_breaker(detail, now + FIRST_PROBE_MS)
  end
elseif is_probe then
  if signal == SIGNAL.UNSURE and count_in_breaker('unsure') == 1 then
    -- The token ran out during the outage. The next probe has a new one, at once.
    redis.call('HSET', P .. 'breaker', 'probe_at', now)
  elseif signal == SIGNAL.UNSURE then
    probe_later(UNAUTHORIZED)
  elseif signal == SIGNAL.DOWN then
    probe_later(detail)
    if detail ~= UNAUTHORIZED then
      redis.call('HDEL', P .. 'breaker', 'unsure')
    end
  end
  redis.call('HDEL', P .. 'breaker', 'probe', 'probe_until')
end
local blocked_ms = math.max(0, (tonumber(redis.call('GET', P .. 'blocked') or '0') or 0) - now)
local unknown_calls = signal == SIGNAL.UNKNOWN and redis.call('ZCARD', P .. 'unknown') or 0
return {blocked_ms, is_open() and 1 or 0, outage_ms, has_opened, allowance(now), was_unknown,
  unknown_calls}

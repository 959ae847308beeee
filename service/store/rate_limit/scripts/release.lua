-- Give permits back, and record what the requests showed of Buildr.
-- Returns {ms for which everything is blocked, 1 while the breaker is open, ms of the outage that
-- this ends, 1 if this has opened the breaker, requests of the shortest budget that are ours}.
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

local function block()
  local blocked_until = tonumber(redis.call('GET', P .. 'blocked') or '0')
  local strikes = tonumber(redis.call('GET', P .. 'strikes') or '0')
  -- Several that were under way at once count as one.
  if strikes == 0 or now > blocked_until then
    strikes = redis.call('INCR', P .. 'strikes')
    redis.call('PEXPIRE', P .. 'strikes', STRIKES_TTL_MS)
  end
  -- Buildr's time counts. Without one, or when it does not hold, a growing time of our own.
  local buildr_ms = tonumber(detail)
  local own_ms = 0
  if not buildr_ms or strikes > 1 then
    own_ms = FIRST_BLOCK_MS * 2 ^ math.min(strikes, BLOCK_DOUBLINGS)
    own_ms = math.min(LONGEST_OWN_BLOCK_MS, own_ms)
  end
  local block_ms = math.max(buildr_ms or 0, own_ms, SHORTEST_BLOCK_MS)
  blocked_until = math.max(now + block_ms, blocked_until)
  local ttl_ms = math.max(blocked_until - now, 1) + EXPIRY_GRACE_MS
  redis.call('SET', P .. 'blocked', blocked_until, 'PX', ttl_ms)
  -- The budget of an hour or a day does not become free by a smaller share of the shortest one.
  if not is_longer_bucket then
    reduce_allowance(now)
  end
end

local opened_at = tonumber(redis.call('HGET', P .. 'breaker', 'opened_at') or '0')
local is_probe = redis.call('HGET', P .. 'breaker', 'probe') == ref
local outage_ms = 0
local has_opened = 0
if signal == SIGNAL.LIMITED then
  block()
elseif signal == SIGNAL.FINE then
  redis.call('DEL', P .. 'strikes')
end
if signal == SIGNAL.FINE or signal == SIGNAL.LIMITED then
  if opened_at > 0 then
    outage_ms = math.max(1, now - opened_at)
  end
  -- Also with the failures that were counted before it opened: only those in a row count.
  redis.call('DEL', P .. 'breaker')
elseif signal == SIGNAL.DOWN and opened_at == 0 then
  local failures = redis.call('HINCRBY', P .. 'breaker', 'fails', 1)
  -- A token that is refused a second time refuses every call: there is nothing to wait for.
  if failures >= FAILURES_TO_OPEN or detail == UNAUTHORIZED then
    has_opened = 1
    redis.call('HSET', P .. 'breaker', 'opened_at', now, 'probe_at', now + FIRST_PROBE_MS,
      'tries', 0, 'cause', detail)
  end
elseif is_probe then
  if signal == SIGNAL.DOWN or signal == SIGNAL.UNSURE then
    local tries = redis.call('HINCRBY', P .. 'breaker', 'tries', 1)
    local pause_ms = FIRST_PROBE_MS * 2 ^ math.min(tries, PROBE_DOUBLINGS)
    pause_ms = math.min(LONGEST_PROBE_MS, pause_ms)
    redis.call('HSET', P .. 'breaker', 'probe_at', now + pause_ms, 'cause', detail)
  end
  redis.call('HDEL', P .. 'breaker', 'probe', 'probe_until')
end
local blocked_ms = math.max(0, tonumber(redis.call('GET', P .. 'blocked') or '0') - now)
return {blocked_ms, is_open() and 1 or 0, outage_ms, has_opened, allowance(now)}

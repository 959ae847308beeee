-- Give permits back, and say what was heard from Buildr.
-- ARGV[6..]: ref, ids of requests that were sent, ids of those that were not, all of them as they were granted,
--            what was heard ('fine', 'limited', 'down', 'unsure', ''), its detail (ms to wait or '' for limited, the cause for down),
--            1 if a 429 was about another budget than the shortest.
-- Returns {ms for which everything is blocked, 1 while the breaker is open, ms of the outage that this ends, 1 if this has opened it,
--          requests of the shortest budget that are ours}.
local ref, heard, detail = ARGV[6], ARGV[10], ARGV[11]
local now = now_ms()
for id in string.gmatch(ARGV[7], '[^,]+') do
  redis.call('ZADD', P .. 'limit', 'XX', now, id)
end
for id in string.gmatch(ARGV[8], '[^,]+') do
  redis.call('ZREM', P .. 'limit', id)
end
-- A run that comes late finds the mark of the next one, and leaves it.
if redis.call('GET', P .. 'permit:' .. ref) == 'u:' .. ARGV[9] then
  redis.call('DEL', P .. 'permit:' .. ref)
end
local opened_at = tonumber(redis.call('HGET', P .. 'breaker', 'opened_at') or '0')
local is_probe = redis.call('HGET', P .. 'breaker', 'probe') == ref
local ended_ms, has_opened = 0, 0
if heard == SIGNAL.LIMITED then
  local blocked_till = tonumber(redis.call('GET', P .. 'blocked') or '0')
  local strikes = tonumber(redis.call('GET', P .. 'strikes') or '0')
  if strikes == 0 or now > blocked_till then
    -- Several that were under way at once count as one.
    strikes = redis.call('INCR', P .. 'strikes')
    redis.call('PEXPIRE', P .. 'strikes', STRIKES_TTL_MS)
  end
  -- The server's word counts. Without one, or when it does not hold, a growing while of our own.
  local told = tonumber(detail)
  local own = (not told or strikes > 1) and math.min(LONGEST_OWN_BLOCK_MS, FIRST_BLOCK_MS * 2 ^ math.min(strikes, BLOCK_DOUBLINGS)) or 0
  local till = math.max(now + math.max(told or 0, own, SHORTEST_BLOCK_MS), blocked_till)
  redis.call('SET', P .. 'blocked', till, 'PX', math.max(till - now, 1) + 1000)
  if ARGV[12] ~= '1' then
    yield(now)
  end
elseif heard == SIGNAL.FINE then
  redis.call('DEL', P .. 'strikes')
end
if heard == SIGNAL.FINE or heard == SIGNAL.LIMITED then
  if opened_at > 0 then
    ended_ms = math.max(1, now - opened_at)
  end
  redis.call('DEL', P .. 'breaker')
elseif heard == SIGNAL.DOWN and opened_at == 0 then
  -- A token that is refused a second time keeps everybody out, so that there is nothing to wait for.
  if redis.call('HINCRBY', P .. 'breaker', 'fails', 1) >= FAILURES_TO_OPEN or detail == UNAUTHORIZED then
    has_opened = 1
    redis.call('HSET', P .. 'breaker', 'opened_at', now, 'probe_at', now + FIRST_PROBE_MS, 'tries', 0, 'cause', detail)
  end
elseif is_probe then
  if heard == SIGNAL.DOWN or heard == SIGNAL.UNSURE then
    local tries = redis.call('HINCRBY', P .. 'breaker', 'tries', 1)
    local pause = math.min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 2 ^ math.min(tries, PROBE_DOUBLINGS))
    redis.call('HSET', P .. 'breaker', 'probe_at', now + pause, 'cause', detail)
  end
  redis.call('HDEL', P .. 'breaker', 'probe', 'probe_until')
end
local blocked = math.max(0, tonumber(redis.call('GET', P .. 'blocked') or '0') - now)
return {blocked, is_open() and 1 or 0, ended_ms, has_opened, allowance(now)}

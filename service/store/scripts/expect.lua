-- Register that a Buildr call will be a call with one of some numbers, or take that back.
-- ARGV[5..]: Buildr call id, '' to take it back or JSON {body, numbers (E.164), opens_ms and closes_ms (or absent), lead_ms, wait_ms, keep_ms,
--            longest_ms, most (entries per number)}
-- Returns {1 new | 0 replaced, calls woken, the entry}; -1 to -4 for a window that cannot be. Taken back: 1, or 0 if there was none.
local id, text = ARGV[5], ARGV[6]
local key = P .. 'expected:' .. id
local now = now_ms()
local woken = 0

-- A job that looked before sees at its commit that something is different; a call that waits, and started within the window, is woken.
local function notice(numbers, opens, closes)
  local rev = redis.call('INCR', P .. 'expected_rev')
  for _, number in ipairs(numbers) do
    redis.call('SET', P .. 'expected_rev:' .. number, rev, 'PX', REVISION_TTL_MS)
    for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'unmatched:' .. number, opens, closes, 'LIMIT', 0, CALLS_PER_NUMBER)) do
      wake(ref, now)
      woken = woken + 1
    end
  end
  return rev
end

local function whole(ms)
  return string.format('%.0f', ms)
end

local want, opens, closes
if text ~= '' then
  want = cjson.decode(text)
  opens = want.opens_ms or (now - want.lead_ms)
  closes = want.closes_ms or (math.max(now, opens) + want.wait_ms)
  if closes <= opens then
    return -1
  elseif closes + want.keep_ms <= now then
    return -2
  elseif closes > now + want.longest_ms then
    return -3
  elseif closes - opens > want.longest_ms then
    return -4
  end
end

local old = redis.call('HMGET', key, 'numbers', 'opens', 'closes', 'ref', 'by')
local is_known, holder, by = old[1], old[4], old[5]
local owner = redis.call('GET', P .. 'taken:' .. id)
if owner and not holder then
  holder, by = owner, ''
end
if is_known then
  local numbers = cjson.decode(old[1])
  for _, number in ipairs(numbers) do
    redis.call('ZREM', P .. 'expected_for:' .. number, id)
  end
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'expected', id)
  notice(numbers, old[2], old[3])
end
local is_kept = holder and by == ''
for _, number in ipairs(want and want.numbers or {}) do
  is_kept = is_kept or (holder and by == number)
end
if holder and not (want and is_kept) then
  if holder ~= owner then
    redis.call('DEL', P .. 'expected_by:' .. holder)
  end
  wake(holder, now)
end
if not want then
  return is_known and 1 or 0
end

local function index(name)
  redis.call('ZADD', name, whole(closes), id)
  redis.call('ZREMRANGEBYSCORE', name, '-inf', whole(now - want.keep_ms))
  local last = redis.call('ZRANGE', name, -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIRE', name, whole(math.max(1, tonumber(last) - now + want.keep_ms)))
end
index(P .. 'expected')
for _, number in ipairs(want.numbers) do
  index(P .. 'expected_for:' .. number)
  redis.call('ZREMRANGEBYRANK', P .. 'expected_for:' .. number, 0, -want.most - 1)
end
woken = 0
local rev = notice(want.numbers, whole(opens), whole(closes))
redis.call('HSET', key, 'body', want.body, 'numbers', cjson.encode(want.numbers), 'registered', whole(now), 'opens', whole(opens),
  'closes', whole(closes), 'rev', rev)
local keep_ms = whole(closes - now + want.keep_ms)
if holder and is_kept then
  -- What it is filed under may have changed.
  wake(holder, now)
  redis.call('HSET', key, 'ref', holder, 'by', by)
  redis.call('SET', P .. 'expected_by:' .. holder, id, 'PX', keep_ms)
end
redis.call('PEXPIRE', key, keep_ms)
return {is_known and 0 or 1, woken, redis.call('HGETALL', key)}

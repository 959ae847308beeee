-- Register that a Buildr call will be a call with one of some numbers, or remove such an entry.
-- The JSON: body (text of the entry), numbers (E.164), opens_ms and closes_ms (or absent), lead_ms,
-- wait_ms, keep_ms, longest_ms, most (entries per number).
-- Returns {1 = new, 0 = replaced; calls woken; the entry as fields and values}, or -1 to -4 for a
-- window that cannot be. On removal 1, or 0 if there was no entry.
local buildr_call_id = ARGV[5]
local expectation = ARGV[6] -- JSON; '' = remove the entry
local key = P .. 'expected:' .. buildr_call_id
local now = now_ms()

-- Lua would shorten so large a number to 14 digits.
local function whole(ms)
  return string.format('%.0f', ms)
end

local new, opens, closes
if expectation ~= '' then
  new = cjson.decode(expectation)
  opens = new.opens_ms or (now - new.lead_ms)
  closes = new.closes_ms or (math.max(now, opens) + new.wait_ms)
  -- Checked here and not in Python: a bound that was not stated is made from the clock of Redis.
  if closes <= opens then
    return -1
  elseif closes + new.keep_ms <= now then
    return -2
  elseif closes > now + new.longest_ms then
    return -3
  elseif closes - opens > new.longest_ms then
    return -4
  end
end

-- Also of an entry that is damaged, and that this mends or removes. pcall: it may be of another type.
local is_known = redis.call('EXISTS', key) == 1
local old = redis.pcall('HMGET', key, 'numbers', 'opens', 'closes', 'ref', 'by')
local claimed_by = old[4]
local by = old[5]
local owner = redis.call('GET', P .. 'taken:' .. buildr_call_id)
if owner and not claimed_by then
  -- A call that is this Buildr call for certain may have come before its entry.
  claimed_by = owner
  by = ''
end
if is_known then
  local old_numbers = numbers_of(old[1])
  for _, number in ipairs(old_numbers) do
    redis.call('ZREM', P .. 'expected_for:' .. number, buildr_call_id)
  end
  -- The whole hash: a field that the new entry lacks must not remain from the old one.
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'expected', buildr_call_id)
  -- Also for a number that the new entry has again: its window may be another.
  notify_unmatched(old_numbers, old[2], old[3])
end
local keeps_claim = claimed_by and by == ''
for _, number in ipairs(new and new.numbers or {}) do
  keeps_claim = keeps_claim or (claimed_by and by == number)
end
if claimed_by and not (new and keeps_claim) then
  if claimed_by ~= owner then
    redis.call('DEL', P .. 'expected_by:' .. claimed_by)
  end
  wake_known(claimed_by, now)
end
if not new then
  return is_known and 1 or 0
end

local function index(name)
  redis.call('ZADD', name, whole(closes), buildr_call_id)
  redis.call('ZREMRANGEBYSCORE', name, '-inf', whole(now - new.keep_ms))
  local last_closes = redis.call('ZRANGE', name, -1, -1, 'WITHSCORES')[2]
  local keep_ms = tonumber(last_closes) - now + new.keep_ms
  redis.call('PEXPIRE', name, whole(math.max(1, keep_ms)))
end

index(P .. 'expected')
for _, number in ipairs(new.numbers) do
  index(P .. 'expected_for:' .. number)
  redis.call('ZREMRANGEBYRANK', P .. 'expected_for:' .. number, 0, -new.most - 1)
end
-- What the old entry woke is not in the answer: it is no news to who registers the new one.
local revision, woken = notify_unmatched(new.numbers, whole(opens), whole(closes))
redis.call('HSET', key, 'body', new.body, 'numbers', cjson.encode(new.numbers),
  'registered', whole(now), 'opens', whole(opens), 'closes', whole(closes), 'rev', revision)
local keep_ms = whole(closes - now + new.keep_ms)
if claimed_by and keeps_claim then
  -- What it is filed under may have changed.
  wake_known(claimed_by, now)
  redis.call('HSET', key, 'ref', claimed_by, 'by', by)
  redis.call('SET', P .. 'expected_by:' .. claimed_by, buildr_call_id, 'PX', keep_ms)
end
redis.call('PEXPIRE', key, keep_ms)
return {is_known and 0 or 1, woken, redis.call('HGETALL', key)}

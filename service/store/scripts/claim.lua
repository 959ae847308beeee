-- Say which expected call a telephone call is; its claim on any other ends. ARGV[5..]: ref, Buildr call id ('' = none),
-- revision of the entry as it was seen ('' = known for certain, so that nobody else may have it), number by which it was found.
-- for how long to remember what is known for certain (ms; with such a claim only).
-- Returns 1 = it is this call's, 0 = it is gone, changed, or another call's.
local ref, id, rev, number = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local now = now_ms()

-- What is taken or free again makes a difference to the other calls that wait for such a number.
local function notice(entry)
  local count = redis.call('INCR', P .. 'expected_rev')
  for _, each in ipairs(cjson.decode(entry.numbers)) do
    redis.call('SET', P .. 'expected_rev:' .. each, count, 'PX', REVISION_TTL_MS)
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'unmatched:' .. each, entry.opens, entry.closes, 'LIMIT', 0, CALLS_PER_NUMBER)) do
      if other ~= ref then
        wake(other, now)
      end
    end
  end
end

local function read(name)
  local found = redis.call('HMGET', P .. 'expected:' .. name, 'numbers', 'opens', 'closes', 'rev', 'ref', 'by')
  return found[1] and {numbers = found[1], opens = found[2], closes = found[3], rev = found[4], ref = found[5], by = found[6]}
end

local entry = id ~= '' and read(id)
if rev ~= '' and not (entry and entry.rev == rev and (not entry.ref or entry.ref == ref)) then
  return 0
end
local held = redis.call('GET', P .. 'expected_by:' .. ref)
if held and held ~= id then
  redis.call('DEL', P .. 'expected_by:' .. ref)
  if redis.call('GET', P .. 'taken:' .. held) == ref then
    redis.call('DEL', P .. 'taken:' .. held)
  end
  local before = read(held)
  if before and before.ref == ref then
    redis.call('HDEL', P .. 'expected:' .. held, 'ref', 'by')
    notice(before)
  end
end
if id ~= '' and rev == '' then
  -- Its entry may be registered only after the call: nobody else may have it then either.
  local owner = redis.call('GET', P .. 'taken:' .. id)
  if owner and owner ~= ref then
    redis.call('DEL', P .. 'expected_by:' .. owner)
  end
  redis.call('SET', P .. 'taken:' .. id, ref, 'PX', ARGV[9])
  redis.call('SET', P .. 'expected_by:' .. ref, id, 'PX', ARGV[9])
end
if not entry then
  return 0
end
if entry.ref ~= ref then
  if entry.ref then
    redis.call('DEL', P .. 'expected_by:' .. entry.ref)
    if entry.by ~= '' then
      wake(entry.ref, now)
    end
  end
  notice(entry)
end
redis.call('HSET', P .. 'expected:' .. id, 'ref', ref, 'by', number)
local left = redis.call('PTTL', P .. 'expected:' .. id)
redis.call('SET', P .. 'expected_by:' .. ref, id, 'PX', math.max(1, left, rev == '' and tonumber(ARGV[9]) or 0))
return 1

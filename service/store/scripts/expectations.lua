-- What the scripts share that register expected calls, remove them, or change whose they are.

-- The numbers of an entry, none of a damaged one: that must stop neither its removal nor the call of
-- another entry.
local function numbers_of(text)
  local is_read, numbers = pcall(cjson.decode, text or '')
  local readable = {}
  for _, number in ipairs(is_read and type(numbers) == 'table' and numbers or {}) do
    if type(number) == 'string' then
      readable[#readable + 1] = number
    end
  end
  return readable
end

-- A bound of a window as it is stored, or another one where it is damaged.
local function bound(ms, otherwise)
  return string.match(ms or '', '^%-?%d+$') or otherwise
end

-- An entry of some numbers (E.164) has come, gone, or is claimed or free again: the other calls that
-- wait for its numbers may match now. One whose job runs now detects the new revision at its commit.
-- Those at rest that began within the window are woken, but not `owner`, who knows of the change.
-- Returns the new revision, and how many were woken.
local function notify_unmatched(numbers, opens, closes, owner)
  local now = now_ms()
  local woken = 0
  -- The time is above any count that there has been.
  local revision = count_up(P .. 'expected_rev', now)
  local from = bound(opens, '-inf')
  local to = bound(closes, '+inf')
  for _, number in ipairs(numbers) do
    redis.call('SET', P .. 'expected_rev:' .. number, revision, 'PX', REVISION_TTL_MS)
    local refs = redis.call('ZRANGEBYSCORE', P .. 'unmatched:' .. number, from, to,
      'LIMIT', 0, CALLS_PER_NUMBER)
    for _, ref in ipairs(refs) do
      if ref ~= owner then
        wake_known(ref, now)
        woken = woken + 1
      end
    end
  end
  return revision, woken
end

-- Let an entry be free again if it is still this call's.
local function free_entry(buildr_call_id, ref)
  -- Another may have taken it with certainty since.
  if redis.call('GET', P .. 'taken:' .. buildr_call_id) == ref then
    redis.call('DEL', P .. 'taken:' .. buildr_call_id)
  end
  local key = P .. 'expected:' .. buildr_call_id
  -- pcall: a key of another type holds no entry.
  local numbers, opens, closes, owner =
    unpack(redis.pcall('HMGET', key, 'numbers', 'opens', 'closes', 'ref'))
  if owner == ref then
    redis.call('HDEL', key, 'ref', 'by')
    notify_unmatched(numbers_of(numbers), opens, closes, ref)
  end
end

-- Let an expected call be this telephone call, and end the claim of this call on any other.
-- Returns 1 = the entry is this call's; 0 = it is gone, was changed, or is another call's.
local ref = ARGV[5]
local buildr_call_id = ARGV[6] -- '' = claims only end
local revision = ARGV[7] -- of the entry as it was read; '' = the claim is certain
local number = ARGV[8] -- E.164, by which the entry was found
local keep_ms = tonumber(ARGV[9]) -- how long a certain claim is kept
local now = now_ms()

local function read_entry(id)
  -- pcall: a key of another type holds no entry.
  local fields = redis.pcall('HMGET', P .. 'expected:' .. id,
    'numbers', 'opens', 'closes', 'rev', 'ref', 'by')
  return fields[1] and {
    numbers = fields[1], opens = fields[2], closes = fields[3],
    revision = fields[4], ref = fields[5], by = fields[6],
  }
end

local entry = buildr_call_id ~= '' and read_entry(buildr_call_id)
local is_certain = revision == ''
if not is_certain then
  -- Another job may have claimed or changed the entry since it was read.
  local is_free = entry and entry.revision == revision and (not entry.ref or entry.ref == ref)
  if not is_free then
    return 0
  end
end
local claimed_before = redis.call('GET', P .. 'expected_by:' .. ref)
if claimed_before and claimed_before ~= buildr_call_id then
  redis.call('DEL', P .. 'expected_by:' .. ref)
  free_entry(claimed_before, ref)
end
if buildr_call_id ~= '' and is_certain then
  -- Its entry may be registered only after the call: nobody else may claim it then either.
  local owner = redis.call('GET', P .. 'taken:' .. buildr_call_id)
  if owner and owner ~= ref then
    redis.call('DEL', P .. 'expected_by:' .. owner)
  end
  redis.call('SET', P .. 'taken:' .. buildr_call_id, ref, 'PX', keep_ms)
  redis.call('SET', P .. 'expected_by:' .. ref, buildr_call_id, 'PX', keep_ms)
end
if not entry then
  return 0
end
if entry.ref ~= ref then
  if entry.ref then
    redis.call('DEL', P .. 'expected_by:' .. entry.ref)
    -- A claim by number gives way to a certain one, and the call that had it must find another. Of
    -- two certain ones the newer counts, and the older has nothing to look for.
    if entry.by ~= '' then
      wake(entry.ref, now)
    end
  end
  notify_unmatched(numbers_of(entry.numbers), entry.opens, entry.closes, ref)
end
redis.call('HSET', P .. 'expected:' .. buildr_call_id, 'ref', ref, 'by', number)
local remaining_ms = redis.call('PTTL', P .. 'expected:' .. buildr_call_id)
if is_certain then
  remaining_ms = math.max(remaining_ms, keep_ms)
end
redis.call('SET', P .. 'expected_by:' .. ref, buildr_call_id, 'PX', math.max(1, remaining_ms))
return 1

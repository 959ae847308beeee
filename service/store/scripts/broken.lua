-- Set when a call is to be run next whose job met a bug: later each time, since a pause is as long as
-- the call has been broken.
-- Returns {1 if the call is to be given up, the pause in ms}.
local ref = ARGV[5]
local key = P .. 'broken:' .. ref
local now = now_ms()

local since = tonumber(redis.call('GET', key) or now)
if not since then
  -- Damaged: it counts from now on.
  redis.call('DEL', key)
  since = now
end
local age_ms = now - since
if age_ms >= BROKEN_GIVE_UP_MS then
  redis.call('DEL', key)
  return {1, 0}
end
local pause_ms = math.min(BROKEN_LONGEST_MS, math.max(BROKEN_FIRST_MS, age_ms))
redis.call('SET', key, string.format('%.0f', now), 'NX')
-- A call that runs again is forgotten here: nothing else takes the key away.
redis.call('PEXPIRE', key, pause_ms + BROKEN_LONGEST_MS)
redis.call('ZADD', P .. 'due', string.format('%.0f', now + pause_ms), ref)
return {0, pause_ms}

-- Between two requests of one call: those that are answered count from now, the others are valid
-- anew. Returns 1, or 0 if the permits have expired.
local ref = ARGV[6]
local permits = ARGV[7] -- all of them as they were granted
local answered = tonumber(ARGV[8]) -- how many requests are answered
local hold_ms = tonumber(ARGV[9]) -- the longest that one request may take
local key = P .. 'permit:' .. ref

-- Expired, and perhaps granted to another job of the call: a second request now could be under way
-- beside that one's.
if redis.call('GET', key) ~= 'u:' .. permits then
  return 0
end
local now = now_ms()
local place = 0
for permit in string.gmatch(permits, '[^,]+') do
  place = place + 1
  if place == answered then
    redis.call('ZADD', P .. 'limit', 'XX', now, permit)
  elseif place > answered then
    redis.call('ZADD', P .. 'limit', 'XX', now + hold_ms, permit)
  end
end
redis.call('PEXPIRE', key, hold_ms)
note_probe(ref, now, now + hold_ms)
return 1

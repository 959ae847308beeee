-- Between two requests of one call: the first is answered, the others get their whole time. 1 = go on, 0 = the permits have run out.
-- ARGV[6..]: ref, all ids as they were granted, how many are answered, hold_ms.
local key, done, hold_ms = P .. 'permit:' .. ARGV[6], tonumber(ARGV[8]), tonumber(ARGV[9])
if redis.call('GET', key) ~= 'u:' .. ARGV[7] then
  return 0
end
local now, place = now_ms(), 0
for id in string.gmatch(ARGV[7], '[^,]+') do
  place = place + 1
  if place == done then
    redis.call('ZADD', P .. 'limit', 'XX', now, id)
  elseif place > done then
    redis.call('ZADD', P .. 'limit', 'XX', now + hold_ms, id)
  end
end
redis.call('PEXPIRE', key, hold_ms)
note_probe(ARGV[6], now + hold_ms)
return 1

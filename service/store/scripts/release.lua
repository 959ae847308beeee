-- Give permits back. ARGV[6..]: ref, ids of requests that were sent, ids of requests that were not, all of them as they were granted.
local now = now_ms()
for id in string.gmatch(ARGV[7], '[^,]+') do
  redis.call('ZADD', P .. 'limit', 'XX', now, id)
end
for id in string.gmatch(ARGV[8], '[^,]+') do
  redis.call('ZREM', P .. 'limit', id)
end
-- A run that comes late finds the mark of the next one, and leaves it.
if redis.call('GET', P .. 'permit:' .. ARGV[6]) == 'u:' .. ARGV[9] then
  redis.call('DEL', P .. 'permit:' .. ARGV[6])
end
return 1

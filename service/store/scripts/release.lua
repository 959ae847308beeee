-- Give permits back. ARGV[5..]: ref, ids of requests that were sent, ids of requests that were not.
local now = now_ms()
for id in string.gmatch(ARGV[6], '[^,]+') do
  redis.call('ZADD', P .. 'limit', 'XX', now, id)
end
for id in string.gmatch(ARGV[7], '[^,]+') do
  redis.call('ZREM', P .. 'limit', id)
end
redis.call('DEL', P .. 'permit:' .. ARGV[5])
return 1

-- Buildr said 429: nobody sends before then. ARGV[5]: milliseconds as told, or '' to back off on our own (5 s doubling to 60 s).
local now = now_ms()
local ms = tonumber(ARGV[5])
if not ms then
  local count = redis.call('INCR', P .. 'unexplained_429')
  redis.call('PEXPIRE', P .. 'unexplained_429', 120000)
  ms = math.min(60000, 5000 * 2 ^ (math.min(count, 5) - 1))
end
local till = math.max(now + ms, tonumber(redis.call('GET', P .. 'blocked') or '0'))
redis.call('SET', P .. 'blocked', till, 'PX', math.max(till - now, 1) + 1000)
return till - now

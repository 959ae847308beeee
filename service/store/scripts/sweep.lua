-- Give every overdue call its alarm back that has lost it. Returns how many had.
local now, limit = now_ms(), tonumber(ARGV[5])
local healed = 0
local function heal(ref)
  local id = job_id(ref)
  if redis.call('EXISTS', 'arq:in-progress:' .. id) == 0
    and not (redis.call('ZSCORE', QUEUE, id) and redis.call('EXISTS', 'arq:job:' .. id) == 1) then
    arm(ref, now)
    healed = healed + 1
  end
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now - 1000, 'LIMIT', 0, limit)) do
  heal(ref)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'inbox', '-inf', now - 30000, 'LIMIT', 0, limit)) do
  local ref = redis.call('HGET', P .. 'm:' .. id, 'ref')
  if not ref then
    redis.call('ZREM', P .. 'inbox', id)
  elseif not redis.call('ZSCORE', P .. 'due', ref) then
    redis.call('ZADD', P .. 'due', now, ref)
    heal(ref)
  end
end
return healed

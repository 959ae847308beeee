-- Give every overdue call its alarm back that has lost it, and take over what dead workers left behind.
-- ARGV[5..]: most to look at, ms for which arq marks a job as in progress. Returns {alarms given back, calls taken over}.
local now, limit, in_progress_ms = now_ms(), tonumber(ARGV[5]), tonumber(ARGV[6])
local healed, taken = 0, 0
local running = redis.call('HGETALL', P .. 'running')
for i = 1, #running, 2 do
  local ref = running[i]
  if redis.call('EXISTS', P .. 'worker:' .. running[i + 1]) == 0 then
    redis.call('HDEL', P .. 'running', ref)
    redis.call('DEL', 'arq:in-progress:' .. job_id(ref))
    wake(ref, now)
    taken = taken + 1
  end
end
for _, id in ipairs(redis.call('HKEYS', P .. 'maps')) do
  if redis.call('EXISTS', P .. 'worker:' .. id) == 0 then
    redis.call('HDEL', P .. 'maps', id)
  end
end
local function heal(ref)
  local id = job_id(ref)
  local left = redis.call('PTTL', 'arq:in-progress:' .. id)
  if left > 0 then
    if redis.call('HEXISTS', P .. 'running', ref) == 0 and in_progress_ms - left > JOB_START_MS then
      redis.call('DEL', 'arq:in-progress:' .. id)
      arm(ref, now)
      taken = taken + 1
    end
  elseif not (redis.call('ZSCORE', QUEUE, id) and redis.call('EXISTS', 'arq:job:' .. id) == 1) then
    arm(ref, now)
    healed = healed + 1
  end
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now - LOST_ALARM_MS, 'LIMIT', 0, limit)) do
  heal(ref)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'inbox', '-inf', now - UNREAD_MESSAGE_MS, 'LIMIT', 0, limit)) do
  local ref = string.match(redis.call('GETRANGE', P .. 'm:' .. id, 0, 1023), '^[^\n]+')
  if not ref then
    redis.call('ZREM', P .. 'inbox', id)
  elseif not redis.call('ZSCORE', P .. 'due', ref) then
    redis.call('ZADD', P .. 'due', now, ref)
    heal(ref)
  end
end
return {healed, taken}

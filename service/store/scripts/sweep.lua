-- Restore the alarms that overdue calls have lost, and take over what dead workers left behind.
-- Returns {alarms restored, calls taken over}.
local limit = tonumber(ARGV[5]) -- calls, and unread messages, to check
local in_progress_ms = tonumber(ARGV[6]) -- how long arq marks a job as running
local now = now_ms()
local restored = 0
local taken_over = 0

local running = redis.call('HGETALL', P .. 'running')
for i = 1, #running, 2 do
  local ref = running[i]
  local worker_id = running[i + 1]
  if redis.call('EXISTS', P .. 'worker:' .. worker_id) == 0 then
    redis.call('HDEL', P .. 'running', ref)
    -- arq's key has no owner and outlives its worker by up to half a minute. Its job is still
    -- queued, and starts once the key is gone.
    redis.call('DEL', 'arq:in-progress:' .. job_id(ref))
    wake(ref, now)
    taken_over = taken_over + 1
  end
end
-- Left by workers that were killed: a field of a hash cannot expire by itself.
for _, worker_id in ipairs(redis.call('HKEYS', P .. 'maps')) do
  if redis.call('EXISTS', P .. 'worker:' .. worker_id) == 0 then
    redis.call('HDEL', P .. 'maps', worker_id)
  end
end

-- arq blocks a job while its in-progress key lasts, also after the worker has died. A job that has
-- not registered in `running` within JOB_START_MS never will.
local function restore(ref)
  local id = job_id(ref)
  local in_progress_left_ms = redis.call('PTTL', 'arq:in-progress:' .. id)
  if in_progress_left_ms > 0 then
    local is_registered = redis.call('HEXISTS', P .. 'running', ref) == 1
    if not is_registered and in_progress_ms - in_progress_left_ms > JOB_START_MS then
      redis.call('DEL', 'arq:in-progress:' .. id)
      arm(ref, now)
      taken_over = taken_over + 1
    end
    return
  end
  -- Both are needed: arq drops a queued id that has no body.
  if redis.call('ZSCORE', QUEUE, id) and redis.call('EXISTS', 'arq:job:' .. id) == 1 then
    return
  end
  arm(ref, now)
  restored = restored + 1
end

local overdue = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now - LOST_ALARM_MS,
  'LIMIT', 0, limit)
for _, ref in ipairs(overdue) do
  restore(ref)
end
local unread = redis.call('ZRANGEBYSCORE', P .. 'inbox', '-inf', now - UNREAD_MESSAGE_MS,
  'LIMIT', 0, limit)
for _, message_id in ipairs(unread) do
  -- The message's first line is the name of its call.
  -- It may be of another type than it should be.
  local head = redis.pcall('GETRANGE', P .. 'm:' .. message_id, 0, 1023)
  local ref = type(head) == 'string' and string.match(head, '^[^\n]+')
  if not ref then
    redis.call('ZREM', P .. 'inbox', message_id)
  elseif not redis.call('ZSCORE', P .. 'due', ref) then
    redis.call('ZADD', P .. 'due', now, ref)
    restore(ref)
  end
end
return {restored, taken_over}

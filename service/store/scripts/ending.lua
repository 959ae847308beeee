-- End a worker's job: take its marks away, and set the alarm again if the call still needs attention.
-- Returns 1 = set.
local function end_job(ref, worker_id)
  local id = job_id(ref)
  local running = redis.call('HGET', P .. 'running', ref)
  -- Another worker may have taken the call over, and runs it now.
  if not running or running == worker_id then
    redis.call('HDEL', P .. 'running', ref)
    redis.call('ZREM', QUEUE, id)
    -- `retry` was written by arq itself, in versions before.
    redis.call('DEL', 'arq:in-progress:' .. id, 'arq:job:' .. id, 'arq:retry:' .. id)
  end
  -- From `due` and not as a new time: what made the call due has set it already.
  local due = redis.call('ZSCORE', P .. 'due', ref)
  if not due then
    return 0
  end
  arm(ref, tonumber(due))
  return 1
end

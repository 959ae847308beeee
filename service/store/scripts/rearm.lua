-- After a job has ended: set the alarm again if the call still needs attention. Returns 1 = set.
local ref = ARGV[5]
local worker_id = ARGV[6]

-- Another worker may have taken the call over, and runs it now.
if redis.call('HGET', P .. 'running', ref) == worker_id then
  redis.call('HDEL', P .. 'running', ref)
end
-- From `due` and not as a new time: what made the call due has set it already.
local due = redis.call('ZSCORE', P .. 'due', ref)
if not due then
  return 0
end
arm(ref, tonumber(due))
return 1

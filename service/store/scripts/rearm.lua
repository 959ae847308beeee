-- After a job has ended: set the alarm again if the call still wants attention. ARGV[5..]: ref, worker id. 1 = set.
local ref = ARGV[5]
if redis.call('HGET', P .. 'running', ref) == ARGV[6] then
  redis.call('HDEL', P .. 'running', ref)
end
local due = redis.call('ZSCORE', P .. 'due', ref)
if not due then
  return 0
end
arm(ref, tonumber(due))
return 1

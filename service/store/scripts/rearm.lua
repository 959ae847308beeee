-- After a job has ended: set the alarm again if the call still wants attention. 1 = set.
local ref = ARGV[5]
local due = redis.call('ZSCORE', P .. 'due', ref)
if not due then
  return 0
end
arm(ref, tonumber(due))
return 1

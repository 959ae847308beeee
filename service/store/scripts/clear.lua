-- Remove the alarm of a call that nothing is known of. Returns 1.
local ref = ARGV[5]

-- A message that was accepted just now has set an alarm that must stay.
if redis.call('LLEN', P .. 'pending:' .. ref) == 0 then
  redis.call('ZREM', P .. 'due', ref)
end
return 1

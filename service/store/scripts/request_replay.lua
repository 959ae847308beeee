-- Have a call replayed, as an operator has asked. Returns 1 = requested, 0 = no such call is
-- stored.
local ref = ARGV[5]
local replay_request = ARGV[6] -- JSON

if redis.call('HEXISTS', P .. 'call:' .. ref, 'rec') == 0 then
  return 0
end
-- Beside the record and not in it: the record is written by commits only, by their version. A job
-- that runs now has not seen the request; its commit leaves it and makes the call due.
redis.call('HSET', P .. 'call:' .. ref, 'replay', replay_request)
-- It must not expire before a job has followed the request.
redis.call('PERSIST', P .. 'call:' .. ref)
wake_known(ref, now_ms())
return 1

-- Have a call replayed, as an operator has asked. ARGV[5..]: ref, text of the replay request. 1 = requested, 0 = no such call is stored.
local ref = ARGV[5]
if redis.call('HEXISTS', P .. 'call:' .. ref, 'rec') == 0 then
  return 0
end
redis.call('HSET', P .. 'call:' .. ref, 'replay', ARGV[6])
redis.call('PERSIST', P .. 'call:' .. ref)
wake(ref, now_ms())
return 1

-- Have a call put through again, as a person has asked. ARGV[5..]: ref, text of the mark. 1 = marked, 0 = nothing is known of it.
local ref = ARGV[5]
if redis.call('HEXISTS', P .. 'call:' .. ref, 'rec') == 0 then
  return 0
end
redis.call('HSET', P .. 'call:' .. ref, 'replay', ARGV[6])
redis.call('PERSIST', P .. 'call:' .. ref)
wake(ref, now_ms())
return 1

-- Drop an unmatched call whose time is over. 1 = dropped, 0 = it has come to life again meanwhile.
local ref, before = ARGV[5], tonumber(ARGV[6])
local since = redis.call('ZSCORE', P .. 'unmatched', ref)
if not since or tonumber(since) > before or redis.call('ZSCORE', P .. 'due', ref) or redis.call('LLEN', P .. 'pending:' .. ref) > 0 then
  return 0
end
for number in string.gmatch(redis.call('HGET', P .. 'call:' .. ref, 'numbers') or '', '[^,]+') do
  redis.call('ZREM', P .. 'unmatched:' .. number, ref)
end
redis.call('DEL', P .. 'call:' .. ref)
redis.call('ZREM', P .. 'unmatched', ref)
return 1

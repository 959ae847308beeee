-- Drop an unmatched call that was never matched in time.
-- Returns 1 = dropped, 0 = it needs attention again, or has been unmatched for less.
local ref = ARGV[5]
local before_ms = tonumber(ARGV[6]) -- unmatched since before this time

local since = redis.call('ZSCORE', P .. 'unmatched', ref)
if not since or tonumber(since) > before_ms then
  return 0
end
-- A message, a link or a replay may have come since the caller read the list.
if redis.call('ZSCORE', P .. 'due', ref) or redis.call('LLEN', P .. 'pending:' .. ref) > 0 then
  return 0
end
local numbers = redis.call('HGET', P .. 'call:' .. ref, 'numbers') or ''
for number in string.gmatch(numbers, '[^,]+') do
  redis.call('ZREM', P .. 'unmatched:' .. number, ref)
end
-- Its messages expire by themselves. An unmatched call has no expiry, so that this is its only end.
redis.call('DEL', P .. 'call:' .. ref)
redis.call('ZREM', P .. 'unmatched', ref)
redis.call('ZREM', P .. 'calls', ref)
drop_id(ref)
return 1

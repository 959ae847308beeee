-- Take a failed entry out and put its messages through again. ARGV[5..]: entry id, call, text of the replay request, message ids.
-- Returns how many messages are read anew, or -1 if somebody else has taken the entry.
local entry, ref, replay_request = ARGV[5], ARGV[6], ARGV[7]
if redis.call('ZREM', P .. 'failed', entry) == 0 then
  return -1
end
redis.call('DEL', P .. 'f:' .. entry)
local now, count = now_ms(), 0
for i = 8, #ARGV do
  local id = ARGV[i]
  local kept = redis.call('GET', P .. 'm:' .. id)
  if kept then
    -- SET without a time ends the one that the message had.
    redis.call('SET', P .. 'm:' .. id, ref .. string.sub(kept, string.find(kept, '\n', 1, true), -1))
    if redis.call('ZADD', P .. 'inbox', 'NX', now, id) == 1 then
      redis.call('RPUSH', P .. 'pending:' .. ref, id)
    end
    count = count + 1
  end
end
local is_known = redis.call('HEXISTS', P .. 'call:' .. ref, 'rec') == 1
-- Of a call that is not known yet too: without the request a worker would not look at Buildr first.
if is_known or count > 0 then
  redis.call('HSET', P .. 'call:' .. ref, 'replay', replay_request)
  redis.call('PERSIST', P .. 'call:' .. ref)
end
wake(ref, now)
return count

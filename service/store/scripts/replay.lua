-- Take a failed entry off the list, and replay its messages.
-- Returns how many messages are read anew, or -1 if the entry was taken already.
local entry_id = ARGV[5]
local ref = ARGV[6]
local replay_request = ARGV[7] -- JSON
local FIRST_MESSAGE_ID = 8 -- the ids of its messages are the arguments from here on

-- Of several that replay an entry at the same time, the one that removes it goes on.
if redis.call('ZREM', P .. 'failed', entry_id) == 0 then
  return -1
end
redis.call('DEL', P .. 'f:' .. entry_id)
local now = now_ms()
local count = 0
for i = FIRST_MESSAGE_ID, #ARGV do
  local message_id = ARGV[i]
  -- Damaged, it may be of another type or lack its first line. An error now would lose the entry,
  -- which is off the list already.
  local message = redis.pcall('GET', P .. 'm:' .. message_id)
  local first_line_end = type(message) == 'string' and string.find(message, '\n', 1, true)
  if first_line_end then
    local rest = string.sub(message, first_line_end, -1)
    -- SET without a time ends the one that the message had.
    redis.call('SET', P .. 'm:' .. message_id, ref .. rest)
    -- NX: a message that is unread anyway must not be in the pending list twice.
    if redis.call('ZADD', P .. 'inbox', 'NX', now, message_id) == 1 then
      redis.call('RPUSH', P .. 'pending:' .. ref, message_id)
    end
    count = count + 1
  end
end
local is_known = redis.call('HEXISTS', P .. 'call:' .. ref, 'rec') == 1
-- Of a call that is not known yet too: without the request a worker would not read Buildr first.
if is_known or count > 0 then
  redis.call('HSET', P .. 'call:' .. ref, 'replay', replay_request)
  redis.call('PERSIST', P .. 'call:' .. ref)
end
wake_known(ref, now)
return count

-- Keep messages that were made from a vendor's call log, all of one call in one step: read in part,
-- they could show another end.
-- Returns how many are new, -1 = too many messages wait, -2 = the call has changed since it was read.
local ref = ARGV[5]
local version = ARGV[6] -- of the call as it was read
local pending_count = tonumber(ARGV[7]) -- unread messages of the call as it was read
local dedupe_ms = ARGV[8] -- how long an id is kept beside its message; '0' = not at all
local most_unread = tonumber(ARGV[9]) -- unread messages of all calls
local replay_request = ARGV[10] -- JSON, '' = none
local FIRST_MESSAGE = 11 -- from here on: message id, packed message, and so on

local key = P .. 'call:' .. ref
if (redis.call('HGET', key, 'v') or '0') ~= version
  or redis.call('LLEN', P .. 'pending:' .. ref) ~= pending_count then
  return -2
end
-- Far below the limit of webhooks: a back-fill waits, so that no webhook has to.
if redis.call('ZCARD', P .. 'inbox') >= most_unread then
  return -1
end
local now = now_ms()
local count = 0
for i = FIRST_MESSAGE, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('EXISTS', P .. 'm:' .. id, P .. 'seen:' .. id) == 0
    and redis.call('HEXISTS', key, 'e:' .. id) == 0 then
    redis.call('SET', P .. 'm:' .. id, ref .. '\n' .. ARGV[i + 1])
    if dedupe_ms ~= '0' then
      redis.call('SET', P .. 'seen:' .. id, '', 'PX', dedupe_ms)
    end
    redis.call('RPUSH', P .. 'pending:' .. ref, id)
    redis.call('ZADD', P .. 'inbox', now, id)
    count = count + 1
  end
end
if count > 0 then
  -- An operator's own request stays. `heard` is not written: the vendor has sent nothing.
  if replay_request ~= '' then
    redis.call('HSETNX', key, 'replay', replay_request)
    redis.call('PERSIST', key)
  end
  wake_known(ref, now)
end
return count

-- Keeps one message and sets its call's alarm.
-- `dedupe_ms` is how long the id is kept beside the message, '0' = not at all; `max_pending` how many
-- unread messages of all calls there may be.
-- Returns 1 = kept, 0 = repeated, -1 = too many messages wait.
local function accept_message(message_id, ref, packed_message, dedupe_ms, max_pending)
  -- One step: a message that is stored without its alarm would wait for the sweep, and a repeat of
  -- one that is stored in part would be taken for a new message.
  -- The event in the call's record counts too: it outlives the message and its id, and a captured
  -- message that is sent again after their time must not be read a second time.
  if redis.call('EXISTS', P .. 'm:' .. message_id, P .. 'seen:' .. message_id) > 0
    or redis.call('HEXISTS', P .. 'call:' .. ref, 'e:' .. message_id) == 1 then
    return 0
  end
  -- After the check for a repeat: a repeat is answered 2xx even when nothing new is taken.
  if redis.call('ZCARD', P .. 'inbox') >= max_pending then
    return -1
  end
  local now = now_ms()
  -- Without an expiry, however long the workers are away: only a commit gives it one. The first line
  -- lets `sweep` find the call without unpacking the message.
  redis.call('SET', P .. 'm:' .. message_id, ref .. '\n' .. packed_message)
  if dedupe_ms ~= '0' then
    redis.call('SET', P .. 'seen:' .. message_id, '', 'PX', dedupe_ms)
  end
  redis.call('RPUSH', P .. 'pending:' .. ref, message_id)
  redis.call('ZADD', P .. 'inbox', now, message_id)
  -- Searched for by its id, before a worker has read who it is between.
  redis.call('ZADD', P .. 'calls', now, ref)
  -- Only for what is new: a vendor that repeats old messages must not look active.
  local source = string.match(ref, '^[^:]+')
  redis.call('HSET', P .. 'heard', 'message:' .. source, now)
  redis.call('HINCRBY', P .. 'hours:' .. source, math.floor(now / HOUR_MS), 1)
  wake(ref, now)
  return 1
end

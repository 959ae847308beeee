-- What the messages that a script has kept have in common is written by `note_kept`, once for all of
-- them. Commands are most of a script's time, and each is written to the file by itself.
local kept_ids, kept_refs, kept_of_source = {}, {}, {}
local inbox_count

-- Keeps one message and sets its call's alarm; `note_kept` has to follow.
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
  inbox_count = inbox_count or redis.call('ZCARD', P .. 'inbox')
  if inbox_count + #kept_ids >= max_pending then
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
  wake(ref, now)
  kept_ids[#kept_ids + 1] = message_id
  kept_refs[#kept_refs + 1] = ref
  local source = string.match(ref, '^[^:]+')
  kept_of_source[source] = (kept_of_source[source] or 0) + 1
  return 1
end

local function add_all(key, members, score)
  local scored = {}
  for place, member in ipairs(members) do
    scored[2 * place - 1] = score
    scored[2 * place] = member
  end
  redis.call('ZADD', key, unpack(scored))
end

local function note_kept()
  if #kept_ids == 0 then
    return
  end
  local now = now_ms()
  add_all(P .. 'inbox', kept_ids, now)
  -- Searched for by its id, before a worker has read who it is between.
  add_all(P .. 'calls', kept_refs, now)
  -- Only for what is new: a vendor that repeats old messages must not look active.
  -- pcall: a damaged figure is no reason to refuse a message.
  for source, count in pairs(kept_of_source) do
    redis.pcall('HSET', P .. 'heard', 'message:' .. source, now)
    redis.pcall('HINCRBY', P .. 'hours:' .. source, math.floor(now / HOUR_MS), count)
  end
end

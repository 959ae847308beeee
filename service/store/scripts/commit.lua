-- Write down what a job found out about its call, all or nothing.
-- ARGV[5]: JSON {ref, version, state, done [message ids], failed {entry id: text},
--               drop_failed [entry ids], due_ms or absent, keep_messages_ms, keep_failed_ms, keep_call_ms, leave_lane, awaits_names,
--               link (its text as the job saw it, or absent), claimed (the expected call that it has, or absent), replay (the replay request that the job saw, or '')}
-- ARGV[6..]: the packed record, then message id and packed events of each message read now; beside the JSON, which cannot carry bytes.
-- Returns when the call wants attention next (0 = never), or -1 if somebody else has written meanwhile.
local change = cjson.decode(ARGV[5])
local ref = change.ref
local key = P .. 'call:' .. ref
if (redis.call('HGET', key, 'v') or '0') ~= tostring(change.version) then
  return -1
end
local now = now_ms()
redis.call('HSET', key, 'v', tostring(change.version + 1), 'rec', ARGV[6])
for i = 7, #ARGV, 2 do
  redis.call('HSET', key, 'e:' .. ARGV[i], ARGV[i + 1])
end
for _, id in ipairs(change.done) do
  redis.call('LREM', P .. 'pending:' .. ref, 1, id)
  redis.call('ZREM', P .. 'inbox', id)
  redis.call('PEXPIRE', P .. 'm:' .. id, change.failed[id] and change.keep_failed_ms or change.keep_messages_ms)
end
for id, text in pairs(change.failed) do
  redis.call('SET', P .. 'f:' .. id, text)
  redis.call('ZADD', P .. 'failed', 'NX', now, id)
end
for _, id in ipairs(change.drop_failed) do
  redis.call('DEL', P .. 'f:' .. id)
  redis.call('ZREM', P .. 'failed', id)
end
for _, name in ipairs({'unmatched', 'stalled'}) do
  if change.state == name then
    redis.call('ZADD', P .. name, 'NX', now, ref)
  else
    redis.call('ZREM', P .. name, ref)
  end
end
-- The numbers by which an expected call, when it is registered or free again, finds this call while it is unmatched.
for number in string.gmatch(redis.call('HGET', key, 'numbers') or '', '[^,]+') do
  redis.call('ZREM', P .. 'unmatched:' .. number, ref)
end
redis.call('HDEL', key, 'numbers')
if change.state == 'unmatched' and change.numbers then
  local numbers = {}
  for number in pairs(change.numbers) do
    local name = P .. 'unmatched:' .. number
    redis.call('ZADD', name, string.format('%.0f', change.started_ms), ref)
    redis.call('ZREMRANGEBYRANK', name, 0, -1001)
    redis.call('PEXPIRE', name, change.keep_call_ms)
    numbers[#numbers + 1] = number
  end
  redis.call('HSET', key, 'numbers', table.concat(numbers, ','))
end
if change.awaits_names then
  redis.call('SADD', P .. 'awaits_names', ref)
else
  redis.call('SREM', P .. 'awaits_names', ref)
end
if change.leave_lane then
  leave_lanes(ref)
  -- A permit that was given meanwhile has not been used, and is somebody else's now.
  local held = redis.call('GET', P .. 'permit:' .. ref) or ''
  if string.sub(held, 1, 2) == 'g:' then
    for id in string.gmatch(string.match(held, '^g:%d+:(.*)$'), '[^,]+') do
      redis.call('ZREM', P .. 'limit', id)
    end
    redis.call('DEL', P .. 'permit:' .. ref)
  end
end
-- A call that is not done is kept until it is, and its raw messages for as long as those of a failed one, should it come to that.
local is_held = change.state == 'unmatched' or change.state == 'waiting' or change.state == 'retrying'
  or (change.state == 'failed' and redis.call('ZSCORE', P .. 'failed', ref))
if is_held then
  redis.call('PERSIST', key)
else
  redis.call('PEXPIRE', key, change.keep_call_ms)
end
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, 2) == 'e:' then
    local id = string.sub(field, 3)
    local is_failed = redis.call('ZSCORE', P .. 'failed', id)
    redis.call('PEXPIRE', P .. 'm:' .. id, (is_held or is_failed) and change.keep_failed_ms or change.keep_messages_ms)
  end
end
local due = change.due_ms or 0
if change.awaits_names and due == 0 and redis.call('EXISTS', P .. 'outcomes') == 1 then
  -- They were read while the job ran, and a worker takes some seconds to learn of it.
  due = now + 1000
end
-- What came while the job ran is looked at next: a link, a replay, a permit, a message.
if change.link and (redis.call('GET', P .. 'link:' .. ref) or '') ~= change.link then
  due = now
end
if change.state == 'unmatched' then
  for number, revision in pairs(change.numbers or {}) do
    if (redis.call('GET', P .. 'expected_rev:' .. number) or '') ~= revision then
      due = now
    end
  end
end
if change.claimed and redis.call('GET', P .. 'expected_by:' .. ref) ~= change.claimed then
  due = now
end
local replay_request = redis.call('HGET', key, 'replay')
if replay_request and replay_request == change.replay then
  redis.call('HDEL', key, 'replay')
elseif replay_request then
  due = now
end
if change.state == 'waiting' and due == 0 and not is_in_lane(ref) then
  due = now
end
if string.sub(redis.call('GET', P .. 'permit:' .. ref) or '', 1, 2) == 'g:' then
  due = now
end
if redis.call('LLEN', P .. 'pending:' .. ref) > 0 then
  due = now
end
if due > 0 then
  redis.call('ZADD', P .. 'due', due, ref)
else
  redis.call('ZREM', P .. 'due', ref)
end
return due

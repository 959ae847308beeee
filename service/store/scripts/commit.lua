-- Write what a job has found out about its call, all or nothing.
-- ARGV[5]: JSON of `commit_arguments`: ref, version, state, done [message ids], failed {entry id: text},
--   drop_failed [entry ids], leave_lane, awaits_names, keep_messages_ms, keep_failed_ms, keep_call_ms, keep_open_ms, and,
--   if they apply, worker (its job goes on, and counts as running there), ends (the worker whose job ends with this),
--   buckets and left_buckets [names of the index], last_ms, wakes [names of other calls], due_ms, numbers {number: revision}, started_ms. What the job saw: replay (the replay request, or ''),
--   link (its text, or link_sha1 of one that is no UTF-8), claimed (the Buildr call of the expected call that it has).
-- ARGV[6..]: the compressed record, then of each message of this run its id, its compressed events ('' = none), and
--   what its key shall hold from now on ('' = what it holds); beside the JSON, which cannot carry bytes.
-- Returns when the call is to be run next, in ms (0 = never), or -1 if the call's version has changed meanwhile.
local update = cjson.decode(ARGV[5])
local compressed_record = ARGV[6]
local ref = update.ref
local key = P .. 'call:' .. ref
-- Two runs of one call can overlap: one whose worker was stopped for a while goes on after the
-- sweep, or the end of arq's in-progress key, has let another one start. The first commit counts,
-- and the other run begins anew with what that one has written.
if (redis.call('HGET', key, 'v') or '0') ~= tostring(update.version) then
  return -1
end
if update.version == 0 then
  add_id(ref)
end
local now = now_ms()
redis.call('HSET', key, 'v', tostring(update.version + 1), 'rec', compressed_record)
for i = 7, #ARGV, 3 do
  if ARGV[i + 1] ~= '' then
    redis.call('HSET', key, 'e:' .. ARGV[i], ARGV[i + 1])
  end
  if ARGV[i + 2] ~= '' then
    -- XX: it may have been erased meanwhile. Its time to live is set below.
    redis.call('SET', P .. 'm:' .. ARGV[i], ARGV[i + 2], 'XX')
  end
end
for _, id in ipairs(update.done) do
  -- By id and not by number: messages that came since the load are in the list too.
  redis.call('LREM', P .. 'pending:' .. ref, 1, id)
  redis.call('ZREM', P .. 'inbox', id)
  redis.call('PEXPIRE', P .. 'm:' .. id, update.failed[id] and update.keep_failed_ms or update.keep_messages_ms)
end
for id, text in pairs(update.failed) do
  redis.call('SET', P .. 'f:' .. id, text, 'PX', update.keep_open_ms)
  -- NX keeps the time of the first failure, by which the list is ordered.
  redis.call('ZADD', P .. 'failed', 'NX', now, id)
end
for _, id in ipairs(update.drop_failed) do
  redis.call('DEL', P .. 'f:' .. id)
  redis.call('ZREM', P .. 'failed', id)
end
-- The indexes of calls that an operator looks after are named by their state.
for _, name in ipairs({STATE.UNMATCHED, STATE.STALLED}) do
  if update.state == name then
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
if update.state == STATE.UNMATCHED and update.numbers then
  local numbers = {}
  for number in pairs(update.numbers) do
    local name = P .. 'unmatched:' .. number
    redis.call('ZADD', name, string.format('%.0f', update.started_ms), ref)
    -- The newest thousand calls of a number are enough to choose from.
    redis.call('ZREMRANGEBYRANK', name, 0, -1001)
    redis.call('PEXPIRE', name, update.keep_call_ms)
    numbers[#numbers + 1] = number
  end
  redis.call('HSET', key, 'numbers', table.concat(numbers, ','))
end
if update.awaits_names then
  redis.call('SADD', P .. 'awaits_names', ref)
else
  redis.call('SREM', P .. 'awaits_names', ref)
end
if update.leave_lane then
  leave_lanes(ref)
  -- A permit that was granted meanwhile has not been used: another call may have it.
  local permit = redis.call('GET', P .. 'permit:' .. ref) or ''
  if string.sub(permit, 1, 2) == 'g:' then
    for id in string.gmatch(string.match(permit, '^g:%d+:(.*)$'), '[^,]+') do
      redis.call('ZREM', P .. 'limit', id)
    end
    redis.call('DEL', P .. 'permit:' .. ref)
  end
end
-- An unfinished call is kept for long, and its raw messages are kept as long as those of a failed call, which it may become.
local is_unfinished = update.state == STATE.UNMATCHED or update.state == STATE.WAITING or update.state == STATE.RETRYING
  or (update.state == STATE.FAILED and redis.call('ZSCORE', P .. 'failed', ref))
local keep_ms = is_unfinished and update.keep_open_ms or update.keep_call_ms
redis.call('PEXPIRE', key, keep_ms)
for _, bucket in ipairs(update.left_buckets or {}) do
  redis.call('ZREM', P .. bucket, ref)
end
index_call(ref, update.last_ms or now, update.buckets or {}, keep_ms, update.keep_call_ms)
-- The messages of earlier runs too: the call may have failed, or ended, with this commit, and their
-- time follows it. A replay needs all of them.
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, 2) == 'e:' then
    local id = string.sub(field, 3)
    local is_failed = redis.call('ZSCORE', P .. 'failed', id)
    redis.call('PEXPIRE', P .. 'm:' .. id, (is_unfinished or is_failed) and update.keep_failed_ms or update.keep_messages_ms)
  end
end
local due = update.due_ms or 0
if update.awaits_names and due == 0 and redis.call('EXISTS', P .. 'outcomes') == 1 then
  -- The outcomes were read while the job ran, and workers load them again after some seconds.
  due = now + OUTCOMES_DELAY_MS
end
-- What came while the job ran makes the call due at once: a link, a replay request, a permit, a message.
if update.link and (redis.call('GET', P .. 'link:' .. ref) or '') ~= update.link then
  due = now
elseif update.link_sha1 and redis.sha1hex(redis.call('GET', P .. 'link:' .. ref) or '') ~= update.link_sha1 then
  due = now
end
if update.state == STATE.UNMATCHED then
  for number, revision in pairs(update.numbers or {}) do
    if revision_of(number) ~= revision then
      due = now
    end
  end
end
if update.claimed and redis.call('GET', P .. 'expected_by:' .. ref) ~= update.claimed then
  due = now
end
local replay_request = redis.call('HGET', key, 'replay')
if replay_request and replay_request == update.replay then
  redis.call('HDEL', key, 'replay')
elseif replay_request then
  due = now
end
-- Nothing would wake it: its write was answered with 429 or came into an outage, and `grant` had
-- taken it out of its lane. It joins again at its next question for a permit.
if update.state == STATE.WAITING and due == 0 and not is_in_lane(ref) then
  due = now
end
-- Granted between this run's question and now. The pump's alarm goes with this job, which arq
-- removes at its end.
if string.sub(redis.call('GET', P .. 'permit:' .. ref) or '', 1, 2) == 'g:' then
  due = now
end
if redis.call('LLEN', P .. 'pending:' .. ref) > 0 then
  due = now
end
-- ZADD without NX or LT: this run has seen everything, so that an earlier due time is done with.
-- Calls that take in the events of this one: in the commit and not after it, since a worker that
-- dies in between would leave them without what this run has parsed.
for _, other in ipairs(update.wakes or {}) do
  wake(other, now)
end
if due > 0 then
  redis.call('ZADD', P .. 'due', due, ref)
else
  redis.call('ZREM', P .. 'due', ref)
end
-- In one step with the rest: it saves a job its last round trip.
if update.ends then
  end_job(ref, update.ends)
elseif update.worker then
  redis.call('HSET', P .. 'running', ref, update.worker)
end
return due

-- Delete everything that is stored about a call, and some messages that name no call.
-- Returns {calls, messages, failed entries, links} that were deleted, or {-1} while a worker runs the call.
local ref = ARGV[5] -- '' = only the messages
local seen_ms = ARGV[6] -- how long the ids of its messages are kept, so that a repeat is no new one
-- From ARGV[7] on: message_ids, of messages that are known to belong to it.
local message_ids = {}
for i = 7, #ARGV do
  message_ids[#message_ids + 1] = ARGV[i]
end
local key = P .. 'call:' .. ref
-- The job has read the call, and would write it anew at its commit. One that has just begun is not in
-- `running` yet.
local is_taken = redis.call('EXISTS', 'arq:in-progress:' .. job_id(ref)) == 1
if ref ~= '' and (is_taken or redis.call('HEXISTS', P .. 'running', ref) == 1) then
  return {-1}
end

local failed = 0
local function drop_failed(entry_id)
  redis.call('DEL', P .. 'f:' .. entry_id)
  failed = failed + redis.call('ZREM', P .. 'failed', entry_id)
end

local calls = 0
local links = 0
if ref ~= '' then
  -- pcall, here and below: what is of another type is deleted with the rest.
  for _, field in ipairs(redis.pcall('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'e:' then
      message_ids[#message_ids + 1] = string.sub(field, 3)
    end
  end
  for _, id in ipairs(redis.pcall('LRANGE', P .. 'pending:' .. ref, 0, -1)) do
    message_ids[#message_ids + 1] = id
  end
  local numbers = redis.pcall('HGET', key, 'numbers')
  for number in string.gmatch(type(numbers) == 'string' and numbers or '', '[^,]+') do
    redis.call('ZREM', P .. 'unmatched:' .. number, ref)
  end
  calls = redis.call('DEL', key)
  redis.call('DEL', P .. 'pending:' .. ref, P .. 'moved_to:' .. ref, P .. 'damaged:' .. ref,
    P .. 'asked:' .. ref, P .. 'broken:' .. ref)
  for _, name in ipairs({STATE.UNMATCHED, STATE.STALLED, 'due', 'calls', 'unknown', 'woken'}) do
    redis.call('ZREM', P .. name, ref)
  end
  redis.call('ZREM', P .. 'ask:' .. string.match(ref, '^[^:]*'), ref)
  drop_id(ref)
  redis.call('SREM', P .. 'awaits_names', ref)
  drop_failed(ref)
  links = redis.call('DEL', P .. 'link:' .. ref)
  redis.call('ZREM', P .. 'links', ref)
  -- The expected call that it has claimed is its own record, and is free again.
  local claimed = redis.pcall('GET', P .. 'expected_by:' .. ref)
  redis.call('DEL', P .. 'expected_by:' .. ref)
  if type(claimed) == 'string' then
    free_entry(claimed, ref)
  end
  leave_lanes(ref)
  -- A permit that was granted and not used stays counted until its time is over, which is safe.
  redis.call('DEL', P .. 'permit:' .. ref)
  redis.call('ZREM', QUEUE, job_id(ref))
  redis.call('DEL', 'arq:job:' .. job_id(ref), 'arq:retry:' .. job_id(ref))
  for _, name in ipairs({'last', 'probe'}) do
    if redis.call('HGET', P .. 'breaker', name) == ref then
      redis.call('HDEL', P .. 'breaker', name)
    end
  end
end

local messages = 0
for _, id in ipairs(message_ids) do
  messages = messages + redis.call('DEL', P .. 'm:' .. id)
  redis.call('ZREM', P .. 'inbox', id)
  -- Its id is made from the message by a digest and says nothing about anybody.
  -- One that is kept beside its message may end sooner.
  if redis.call('PTTL', P .. 'seen:' .. id) < tonumber(seen_ms) then
    redis.call('SET', P .. 'seen:' .. id, '', 'PX', seen_ms)
  end
  drop_failed(id)
end
return {calls, messages, failed, links}

-- Take due jobs from arq's queue. Returns {names of calls, what each job reads first (`reading.lua`;
-- empty if it cannot be read), ids of foreign jobs that were removed, in how many ms the first of the
-- others is due, empty if there is none}.
-- Each job is marked as running, as arq does it; by the clock of Redis, where arq uses its own.
local limit = tonumber(ARGV[5]) -- jobs
local read_limit = tonumber(ARGV[6]) -- ids to read from the head of the queue
local in_progress_ms = ARGV[7] -- how long a job counts as running
local prefix = job_id('')
local refs = {}
local calls = {}
local foreign = {}

local function take(id)
  local ref = string.sub(id, #prefix + 1)
  -- Somebody else's: nobody here could run it, and it would be read again at each turn.
  if string.sub(id, 1, #prefix) ~= prefix or not string.match(ref, '^[^:]+:.') then
    redis.call('ZREM', QUEUE, id)
    redis.call('ZREM', P .. 'due', ref)
    foreign[#foreign + 1] = id
  elseif redis.call('SET', 'arq:in-progress:' .. id, '1', 'PX', in_progress_ms, 'NX') then
    -- The body is not read: the id holds all, so that a damaged or missing body harms nothing.
    refs[#refs + 1] = ref
    -- Not in `running` yet, where a commit puts it: should this answer be lost, `sweep` soon finds a
    -- job that never began. A damaged record must not keep the others from being taken.
    local is_read, call = pcall(read_for_job, ref)
    calls[#calls + 1] = is_read and call or {}
  end
end

-- In steps, since few of the ids are needed where few of their jobs run already.
local step = math.min(read_limit, math.max(2 * limit, 64))
local start = 0
for _ = 1, math.ceil(read_limit / step) do
  local foreign_before = #foreign
  local ids = redis.call('ZRANGEBYSCORE', QUEUE, '-inf', now_ms(), 'LIMIT', start, step)
  for _, id in ipairs(ids) do
    if #refs < limit then
      take(id)
    end
  end
  if #ids < step or #refs >= limit then
    break
  end
  -- What was removed is not in front of the next ids any more.
  start = start + step - (#foreign - foreign_before)
end
local next_in_ms = {}
local after = '(' .. string.format('%.0f', now_ms())
local queued = redis.call('ZRANGEBYSCORE', QUEUE, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if queued[2] then
  next_in_ms[1] = string.format('%.0f', tonumber(queued[2]) - now_ms())
end
return {refs, calls, foreign, next_in_ms}

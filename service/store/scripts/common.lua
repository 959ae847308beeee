-- What all scripts share. Names in capitals that are defined nowhere here come from Python
-- (`service/store/script_constants.py`); times are ms since the epoch, by the clock of Redis.
local P = ARGV[1] -- prefix of all keys of the account
local QUEUE = ARGV[2] -- name of arq's queue
local ACCOUNT = ARGV[3]
local SKEW_MS = tonumber(ARGV[4]) -- added to the clock; 0 but in simulations

-- The clock of Redis, since receivers and workers have clocks of their own. It never goes back: by
-- how much Redis's own has been set back is kept in `clock`, and added from then on. Its last time
-- is written once a second, so that a step back of less than that may go unnoticed.
-- A script that reads TIME may write afterwards: Redis replicates what it wrote, not the script.
local now_of_script
local clock_offset_ms = 0
local function now_ms()
  if now_of_script then
    return now_of_script
  end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + SKEW_MS
  local clock = redis.call('HMGET', P .. 'clock', 'last', 'offset')
  local last = tonumber(clock[1]) or 0
  clock_offset_ms = tonumber(clock[2]) or 0
  now = now + clock_offset_ms
  -- pcall: a Redis that is full or a replica refuses this write, and the script may only read.
  if now < last then
    clock_offset_ms = clock_offset_ms + last - now
    now = last
    redis.pcall('HSET', P .. 'clock', 'offset', clock_offset_ms)
  elseif now >= last + CLOCK_NOTED_MS then
    redis.pcall('HSET', P .. 'clock', 'last', string.format('%.0f', now))
  end
  now_of_script = now
  return now
end

local function job_id(ref)
  return ACCOUNT .. '|' .. ref
end

-- Writes arq's own job, in the form that its workers read. NX keeps a job that runs or waits, since
-- arq would start a second one beside it; an alarm is only ever moved to an earlier time.
local function arm(ref, at)
  local id = job_id(ref)
  -- `k` are the keyword arguments: an empty table, which cjson writes as {}. `a` is never empty, or
  -- it would become {} too, where arq needs a list.
  local job = {t = cjson.null, f = 'deliver', a = {ACCOUNT, ref}, k = {}, et = now_ms()}
  local body = cjson.encode(job)
  -- Both halves each time: a queued id without a body is dropped by arq, a body without an id is
  -- never run. Whichever is missing is put back.
  redis.call('SET', 'arq:job:' .. id, body, 'PX', JOB_TTL_MS, 'NX')
  local queued = redis.call('ZSCORE', QUEUE, id)
  if not queued or at < tonumber(queued) then
    redis.call('ZADD', QUEUE, at, id)
  end
end

-- `due` decides when a call needs attention. The arq job is only its alarm, and may be lost at any
-- time: `sweep` restores it from `due`.
local function wake(ref, at)
  local due = redis.call('ZSCORE', P .. 'due', ref)
  if not due or at < tonumber(due) then
    redis.call('ZADD', P .. 'due', at, ref)
  end
  arm(ref, at)
end

-- What all scripts share. Names in capitals that are defined nowhere here come from Python
-- (`service/store/script_constants.py`); times are ms since the epoch, by the clock of Redis.
local P = ARGV[1] -- prefix of all keys of the account
local QUEUE = ARGV[2] -- name of arq's queue
local ACCOUNT = ARGV[3]
local SKEW_MS = tonumber(ARGV[4]) -- added to the clock; 0 but in simulations

-- The clock of Redis, since receivers and workers have clocks of their own. It never goes back: by
-- how much Redis's own has been set back is kept in `clock`, and added from then on. Meanwhile it
-- runs slower by `CLOCK_SLEW`, until both agree again.
-- Its last time is written once a second. After a step back it goes on from the latest time that it
-- can have shown since. A step back to less than a second before the last time is waited out.
-- A script that reads TIME may write afterwards: Redis replicates what it wrote, not the script.
local now_of_script
local clock_offset_ms = 0
local function now_ms()
  if now_of_script then
    return now_of_script
  end
  local time = redis.call('TIME')
  local redis_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + SKEW_MS
  local clock = redis.call('HMGET', P .. 'clock', 'last', 'offset')
  local last = tonumber(clock[1]) or 0
  clock_offset_ms = tonumber(clock[2]) or 0
  local passed_ms = redis_ms + clock_offset_ms - last
  local is_set_back = passed_ms <= -CLOCK_NOTED_MS
  if is_set_back then
    clock_offset_ms = clock_offset_ms - passed_ms + CLOCK_NOTED_MS
  elseif passed_ms > 0 then
    -- As `read_ahead_ms` of `clock.py`.
    local slewed_ms = math.floor(passed_ms * CLOCK_SLEW)
    clock_offset_ms = math.max(0, clock_offset_ms - slewed_ms)
  end
  local now = math.max(last, redis_ms + clock_offset_ms)
  if is_set_back or now >= last + CLOCK_NOTED_MS then
    -- pcall: a Redis that is full or a replica refuses this write, and the script may only read.
    redis.pcall('HSET', P .. 'clock', 'last', string.format('%.0f', now),
      'offset', string.format('%.0f', clock_offset_ms))
  end
  now_of_script = now
  return now
end

-- Count one more, as text. A counter that is damaged goes on from `first`.
local function count_up(key, first)
  local count = redis.pcall('INCR', key)
  if type(count) == 'number' then
    return string.format('%.0f', count)
  end
  redis.call('SET', key, string.format('%.0f', first))
  return string.format('%.0f', first)
end

local function job_id(ref)
  return ACCOUNT .. '|' .. ref
end

-- Workers that listen take what is due at once, and learn when the next job is due. Once for each
-- script, since one may set hundreds of alarms. pcall: a user of Redis who may not publish loses
-- nothing but that, since workers look by themselves too.
local is_announced = false
local function announce(at)
  if not is_announced and at <= now_ms() + ANNOUNCED_AHEAD_MS then
    is_announced = true
    redis.pcall('PUBLISH', P .. 'alarms', '')
  end
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
  -- LT adds what is missing, and lowers what is higher.
  if redis.call('ZADD', QUEUE, 'LT', 'CH', at, id) > 0 then
    announce(at)
  end
end

-- `due` decides when a call needs attention. The arq job is only its alarm, and may be lost at any
-- time: `sweep` restores it from `due`.
local function wake(ref, at)
  redis.call('ZADD', P .. 'due', 'LT', at, ref)
  arm(ref, at)
end

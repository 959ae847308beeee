-- What all scripts share. ARGV[1..4]: key prefix, name of arq's queue, account, milliseconds to add to the clock (0 but in simulations).
local P, QUEUE, ACCOUNT, SKEW_MS = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + SKEW_MS
end

local function job_id(ref)
  return ACCOUNT .. '|' .. ref
end

-- arq's own job, in the form that its workers read. NX keeps a running or waiting one; an alarm is only ever moved forward.
local function arm(ref, at)
  local id = job_id(ref)
  local body = cjson.encode({t = cjson.null, f = 'deliver', a = {ACCOUNT, ref}, k = {}, et = now_ms()})
  redis.call('SET', 'arq:job:' .. id, body, 'PX', JOB_TTL_MS, 'NX')
  local queued = redis.call('ZSCORE', QUEUE, id)
  if not queued or at < tonumber(queued) then
    redis.call('ZADD', QUEUE, at, id)
  end
end

-- `due` is the truth about when a call wants attention; the arq job is only its alarm.
local function wake(ref, at)
  local due = redis.call('ZSCORE', P .. 'due', ref)
  if not due or at < tonumber(due) then
    redis.call('ZADD', P .. 'due', at, ref)
  end
  arm(ref, at)
end

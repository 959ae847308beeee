-- Ask for permits for a call, or wait in its lane. ARGV[6..]: ref, cost, hold_ms (longest that a request may take), lane, since_ms, newest_above.
-- Returns {1, ids, start_in_ms} granted; {0, wait_ms, 1 if Buildr is away} waits in the lane; {2, wait_ms} another run of this call holds permits.
local ref, cost, hold_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local lane, since, newest_above = ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])
local now = now_ms()
local key = P .. 'permit:' .. ref
local held = redis.call('GET', key)
if held and string.sub(held, 1, 2) == 'u:' then
  return {2, math.max(1, redis.call('PTTL', key))}
end
if held then
  local start, ids = string.match(held, '^g:(%d+):(.*)$')
  local _, count = string.gsub(ids, '[^,]+', '')
  if count >= cost and breaker_at(now, ref) == 0 and tonumber(redis.call('GET', P .. 'blocked') or '0') <= now + AHEAD_MS then
    for id in string.gmatch(ids, '[^,]+') do
      redis.call('ZADD', P .. 'limit', now + hold_ms, id)
    end
    redis.call('SET', key, 'u:' .. ids, 'PX', hold_ms)
    note_probe(ref, now + hold_ms)
    leave_lanes(ref)
    return {1, ids, math.max(0, math.max(tonumber(start), tonumber(redis.call('GET', P .. 'blocked') or '0')) - now)}
  end
  -- Too few, since the call has become more work; or everything has been stopped meanwhile.
  for id in string.gmatch(ids, '[^,]+') do
    redis.call('ZREM', P .. 'limit', id)
  end
  redis.call('DEL', key)
end
local at = free_at(now, cost)
local probe_at = breaker_at(now, ref)
leave_lanes(ref)
if waiting() == 0 and probe_at <= now and at <= now + AHEAD_MS then
  local ids = new_permits(cost, now + hold_ms)
  redis.call('SET', key, 'u:' .. ids, 'PX', hold_ms)
  note_probe(ref, now + hold_ms)
  return {1, ids, math.max(0, at - now)}
end
join_lane(ref, lane, since, cost)
return {0, math.max(0, math.max(at, probe_at) - now), is_open() and 1 or 0}

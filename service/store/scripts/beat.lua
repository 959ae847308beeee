-- Write a worker's heartbeat, and the digest of the outcome map by which it decides.
-- Returns {the present, 1 if Redis is full, by how many ms the present is ahead of its clock}.
local worker_id = ARGV[5]
local ttl_ms = ARGV[6]
local map_digest = ARGV[7]
local key = P .. 'worker:' .. worker_id

-- Versions before the index of calls wrote a time, or ''. See `Workers.has_older`.
local value = 'indexes'
-- The first write of the script, so that it fails if Redis is full.
local answer = redis.pcall('SET', key, value, 'PX', ttl_ms)
local is_full = type(answer) == 'table' and answer.err and true or false
if is_full then
  if not string.find(answer.err, 'OOM', 1, true) then
    return answer
  end
  -- Without its heartbeat, its calls would be taken over. See `when_full.lua`.
  redis.call('DEL', P .. 'none')
  redis.call('SET', key, value, 'PX', ttl_ms)
end
local now = now_ms()
redis.call('HSET', P .. 'maps', worker_id, string.format('%.0f', now) .. ':' .. map_digest)
return {now, is_full and 1 or 0, clock_offset_ms}

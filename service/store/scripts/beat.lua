-- Write a worker's heartbeat, and the digest of the outcome map by which it decides.
-- Returns {the present, 1 if Redis is full, by how many ms the present is ahead of its clock}.
local worker_id = ARGV[5]
local ttl_ms = ARGV[6]
local map_digest = ARGV[7]
local is_first = ARGV[8] == '1' -- of this worker
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
-- No worker that indexes calls has been alive for a while: one of an older version may have written
-- some, so all are looked at once more.
local indexed_at = tonumber(redis.call('GET', P .. 'calls_indexed_at') or '0') or 0
if is_first and now - indexed_at > tonumber(ttl_ms) then
  redis.call('DEL', P .. 'calls_indexed', P .. 'calls_indexed_cursor', P .. 'calls_indexed_tried')
end
redis.call('SET', P .. 'calls_indexed_at', string.format('%.0f', now))
return {now, is_full and 1 or 0, clock_offset_ms}

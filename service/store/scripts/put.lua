-- Write a value. Returns 1 = written, 0 = somebody else has it.
local name = ARGV[5]
local value = ARGV[6]
local ttl_ms = ARGV[7] -- '0' = without an end
local mode = ARGV[8] -- 'new' = only if there is none; 'own' = the same, or to keep it for longer

local key = P .. name
if mode ~= '' then
  local present = redis.call('GET', key)
  if present and not (mode == 'own' and present == value) then
    return 0
  end
end
if ttl_ms == '0' then
  redis.call('SET', key, value)
else
  redis.call('SET', key, value, 'PX', ttl_ms)
end
return 1

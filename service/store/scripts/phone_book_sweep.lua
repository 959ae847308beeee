-- Remove the entries of some buckets that are older than a batch. Returns how many.
local first_bucket = tonumber(ARGV[5])
local last_bucket = tonumber(ARGV[6])
local origin = ARGV[7] -- '' = whatever the origin
local batch = tonumber(ARGV[8])

local count = 0
for bucket = first_bucket, last_bucket do
  local key = bucket_key(bucket)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local entries = {}
    local removed = 0
    for entry in string.gmatch(fields[i + 1], '[^;]+') do
      local _, entry_origin, entry_batch = parts_of(entry)
      if entry_batch < batch and (origin == '' or origin == entry_origin) then
        removed = removed + 1
      else
        entries[#entries + 1] = entry
      end
    end
    if #entries == 0 then
      redis.call('HDEL', key, fields[i])
    elseif removed > 0 then
      redis.call('HSET', key, fields[i], table.concat(entries, ';'))
    end
    count = count + removed
  end
end
return count

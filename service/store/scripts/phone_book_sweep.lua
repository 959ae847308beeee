-- Remove the entries of some buckets that are older than a batch.
-- Returns {how many, the bucket after the last one that was read}.
local first_bucket = tonumber(ARGV[5])
local end_bucket = tonumber(ARGV[6]) -- the first one that is not read
local limit = tonumber(ARGV[7]) -- no further bucket is read after so many numbers
local origin = ARGV[8] -- '' = whatever the origin
local batch = tonumber(ARGV[9])
local FIRST_CONTACT = 10 -- the contacts are the arguments from here on; without any, everybody

local is_chosen = {}
for i = FIRST_CONTACT, #ARGV do
  is_chosen[ARGV[i]] = true
end

local function is_removed(entry)
  local ids, entry_origin, entry_batch = parts_of(entry)
  return entry_batch < batch and (origin == '' or origin == entry_origin)
    and (#ARGV < FIRST_CONTACT or is_chosen[person_of(ids)])
end

local count = 0
local numbers = 0
local bucket = first_bucket
while bucket < end_bucket and numbers < limit do
  local key = bucket_key(bucket)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local entries = {}
    local removed = 0
    for entry in string.gmatch(fields[i + 1], '[^;]+') do
      if is_removed(entry) then
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
    numbers = numbers + 1
    count = count + removed
  end
  bucket = bucket + 1
end
return {count, bucket}

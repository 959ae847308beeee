-- Count what some buckets hold. Returns {the bucket after the last one that was read, numbers,
-- those with more than one person, imported entries, synchronised entries}.
local first_bucket = tonumber(ARGV[5])
local end_bucket = tonumber(ARGV[6]) -- the first one that is not read
local limit = tonumber(ARGV[7]) -- no further bucket is read after so many numbers

local numbers = 0
local shared = 0
local by_origin = {i = 0, s = 0}
local bucket = first_bucket
while bucket < end_bucket and numbers < limit do
  for _, text in ipairs(redis.call('HVALS', bucket_key(bucket))) do
    local people = {}
    local person_count = 0
    for entry in string.gmatch(text, '[^;]+') do
      local ids, origin = parts_of(entry)
      by_origin[origin] = by_origin[origin] + 1
      local person = person_of(ids)
      if not people[person] then
        people[person] = true
        person_count = person_count + 1
      end
    end
    numbers = numbers + 1
    if person_count > 1 then
      shared = shared + 1
    end
  end
  bucket = bucket + 1
end
return {bucket, numbers, shared, by_origin.i, by_origin.s}

-- Count what some buckets hold. Returns {numbers, those with more than one person, imported
-- entries, synchronised entries}.
local first_bucket = tonumber(ARGV[5])
local last_bucket = tonumber(ARGV[6])

local numbers = 0
local shared = 0
local by_origin = {i = 0, s = 0}
for bucket = first_bucket, last_bucket do
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
end
return {numbers, shared, by_origin.i, by_origin.s}

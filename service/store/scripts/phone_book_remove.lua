-- Remove the entries of a number, or those of one contact. Returns how many.
local bucket = ARGV[5]
local number = ARGV[6] -- digits
local contact_id = ARGV[7] -- '' = all entries

local key = bucket_key(bucket)
local entries = {}
local count = 0
for entry in string.gmatch(redis.call('HGET', key, number) or '', '[^;]+') do
  if contact_id == '' or person_of(parts_of(entry)) == contact_id then
    count = count + 1
  else
    entries[#entries + 1] = entry
  end
end
if #entries == 0 then
  redis.call('HDEL', key, number)
elseif count > 0 then
  redis.call('HSET', key, number, table.concat(entries, ';'))
end
return count

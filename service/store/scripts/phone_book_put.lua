-- Write entries of the phone book, each in place of an earlier one of the same number, person and
-- origin. Returns how many are new.
local batch = ARGV[5] -- '' = the newest one
local most = tonumber(ARGV[6]) -- entries per number
local FIRST_ENTRY = 7 -- bucket, number (digits), ids and origin of each entry are from here on

if batch == '' then
  batch = redis.call('HGET', P .. 'phonebook', 'batch') or '0'
end
local count = 0
for i = FIRST_ENTRY, #ARGV, 4 do
  local key = bucket_key(ARGV[i])
  local number = ARGV[i + 1]
  local ids = ARGV[i + 2]
  local origin = ARGV[i + 3]
  local person = person_of(ids)
  local is_new = true
  local entries = {}
  for entry in string.gmatch(redis.call('HGET', key, number) or '', '[^;]+') do
    local entry_ids, entry_origin = parts_of(entry)
    if entry_origin == origin and person_of(entry_ids) == person then
      is_new = false
    else
      entries[#entries + 1] = entry
    end
  end
  if is_new and #entries >= most then
    -- An entry without ids is written instead, once: the number belongs to more people than are
    -- listed, even when some of these are removed.
    ids = ',,'
    is_new = false
    for place = #entries, 1, -1 do
      local entry_ids, entry_origin = parts_of(entries[place])
      if entry_ids == ids and entry_origin == origin then
        table.remove(entries, place)
      end
    end
  end
  entries[#entries + 1] = ids .. ',' .. origin .. batch
  redis.call('HSET', key, number, table.concat(entries, ';'))
  if is_new then
    count = count + 1
  end
end
return count

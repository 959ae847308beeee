-- What the scripts of the phone book share: how the entries of a number are stored.
-- A number is a field of the hash `phonebook:BUCKET`. Its value is its entries, joined by `;`: the
-- ids of contact, company and project, where an entry came from (`i` or `s`), and the batch that
-- has written it last, as in `418,101,129,i12;419,101,,i12`.

local function bucket_key(bucket)
  return P .. 'phonebook:' .. string.format('%d', bucket)
end

-- The ids of an entry, its origin, and its batch.
local function parts_of(entry)
  local ids, origin, batch = string.match(entry, '^(.*),(%a)(%d+)$')
  return ids, origin, tonumber(batch)
end

-- Whom an entry is about: its contact, else all of its ids.
local function person_of(ids)
  return string.match(ids, '^[^,]+') or ids
end

-- What is expected with some numbers. ARGV[5..]: ref, start of the call in ms ('' = now), most entries per number, numbers (E.164).
-- Returns {1 if there are more, revisions of the numbers, entries}; the entry that the call has claimed is among them.
local ref, most = ARGV[5], tonumber(ARGV[7])
local at = ARGV[6] ~= '' and ARGV[6] or string.format('%.0f', now_ms())
local is_cut, revisions, entries, seen = 0, {}, {}, {}

local function add(id)
  if id and not seen[id] then
    seen[id] = true
    local fields = redis.call('HGETALL', P .. 'expected:' .. id)
    if #fields > 0 then
      entries[#entries + 1] = fields
    end
  end
end

add(redis.call('GET', P .. 'expected_by:' .. ref))
for i = 8, #ARGV do
  revisions[#revisions + 1] = redis.call('GET', P .. 'expected_rev:' .. ARGV[i]) or ''
  local name = P .. 'expected_for:' .. ARGV[i]
  local open = redis.call('ZRANGEBYSCORE', name, at, '+inf', 'LIMIT', 0, most + 1)
  if #open > most then
    is_cut, open[most + 1] = 1, nil
  end
  for _, id in ipairs(open) do
    add(id)
  end
  for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', name, '(' .. at, '-inf', 'LIMIT', 0, CLOSED_CANDIDATES)) do
    add(id)
  end
end
return {is_cut, revisions, entries}

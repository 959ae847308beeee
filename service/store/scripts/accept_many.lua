-- Keep many messages and set their calls' alarms. ARGV holds a message's id, its call's name and the
-- packed message, for one message after the other.
-- Returns for each what `accept_message` returns, or the text of its error.
local dedupe_ms = ARGV[5]
local max_pending = tonumber(ARGV[6])
local results = {}
local places = {}

-- Redis before 7 raises a text that begins with the line of the script; since then it is a table.
local function text_of(err)
  local text = type(err) == 'table' and err.err or tostring(err)
  return string.match(text, '%u%u+ .*') or text
end

for at = 7, #ARGV, 3 do
  -- pcall: what is wrong with the records of one call must not fail the others.
  local is_kept, result =
    pcall(accept_message, ARGV[at], ARGV[at + 1], ARGV[at + 2], dedupe_ms, max_pending)
  if not is_kept then
    result = text_of(result)
    if string.sub(result, 1, 8) == 'READONLY' then
      -- Nothing is taken here any more, and the connection has to be left.
      return redis.error_reply(result)
    end
  end
  results[#results + 1] = result
  if result == 1 then
    places[#places + 1] = #results
  end
end

-- What fails here fails for each of them: the records are those of all calls.
local is_noted, err = pcall(note_kept)
if not is_noted then
  for _, place in ipairs(places) do
    results[place] = text_of(err)
  end
end
return results

-- Keep many messages and set their calls' alarms. ARGV holds a message's id, its call's name and the
-- packed message, for one message after the other.
-- Returns for each what `accept_message` returns, or the text of its error.
local dedupe_ms = ARGV[5]
local max_pending = tonumber(ARGV[6])
local results = {}

for at = 7, #ARGV, 3 do
  -- pcall: what is wrong with the records of one call must not fail the others.
  local is_kept, result =
    pcall(accept_message, ARGV[at], ARGV[at + 1], ARGV[at + 2], dedupe_ms, max_pending)
  if not is_kept then
    -- A table since Redis 7; before, a text that begins with the line of the script.
    local text = type(result) == 'table' and result.err or tostring(result)
    result = string.match(text, '%u%u+ .*') or text
    if string.sub(result, 1, 8) == 'READONLY' then
      -- Nothing is taken here any more, and the connection has to be left.
      return redis.error_reply(result)
    end
  end
  results[#results + 1] = result
end
return results

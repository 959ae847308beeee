-- The revision of the expected calls of a number (E.164), '' without one. A damaged one is none: it
-- could not be compared with what a job has read, and the call would be run for ever.
local function revision_of(number)
  local revision = redis.pcall('GET', P .. 'expected_rev:' .. number)
  return type(revision) == 'string' and string.match(revision, '^%d+$') or ''
end

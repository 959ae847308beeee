-- Keep one message and set its call's alarm. Returns what `accept_message` returns.
local message_id = ARGV[5]
local ref = ARGV[6]
local dedupe_ms = ARGV[7]
local max_pending = tonumber(ARGV[8])
local packed_message = ARGV[9]

local result = accept_message(message_id, ref, packed_message, dedupe_ms, max_pending)
note_kept()
return result

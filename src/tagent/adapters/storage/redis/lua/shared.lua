-- Stands before every script that writes, or asks for the time.
--
-- KEYS[1] is the store's prefix with its colon; the scripts make all other names from it and from their arguments,
-- so they need a single server: in a cluster the keys of a store lie on several.
--
-- Redis takes nothing back when a script fails half-way. So each script reads and refuses before it writes,
-- and writes first what can still be refused: by a server that is full, is a replica or cannot write its
-- files, or because the key of a journal is somebody else's.
--
--   <prefix>format              the version of all this
--   <prefix>changes             short Stream: an entry for each commit, to wake whoever waits for one
--
-- journals.lua, memory.lua and messages.lua say what else there is.

-- What is replicated and logged are the writes, not the script: it asks for the time. Redis 7 always does so.
if redis.replicate_commands then redis.replicate_commands() end

local prefix = KEYS[1]
local FORMAT = prefix .. 'format'
local CHANGES = prefix .. 'changes'

-- Lua itself would write 14 digits.
local function exact(number) return string.format('%.17g', number) end

-- The store's own clock, in seconds.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function tell(what) redis.call('XADD', CHANGES, 'MAXLEN', '~', 100, '*', 'in', what) end

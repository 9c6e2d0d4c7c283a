-- Stands before every script that writes.
--
-- KEYS[1] is the store's prefix with its colon, ARGV[1] the run; the scripts make all other names from these,
-- so they need a single server: in a cluster the keys of a run lie on several.
--
-- Redis takes nothing back when a script fails half-way. So each script reads and refuses before it writes,
-- and writes first what can still be refused: by a server that is full, is a replica or cannot write its
-- files, or because the key of a journal is somebody else's.
--
--   <prefix>format              the version of all this
--   <prefix>runs                sorted set: run -> created_at
--   <prefix>texts               hash: run -> the text that searches look through
--   <prefix>run:<run>           hash: what is known of the run, and when its lease ends
--   <prefix>journal:<run>       Stream: its records, <seq>-0 each
--   <prefix>run-blobs:<run>     set: the blobs that it needs
--   <prefix>blob:<hash>, <prefix>definition:<hash>         the contents
--   <prefix>blob-uses, <prefix>definition-uses             hashes: hash -> how many runs need it
--   <prefix>changes             short Stream: an entry for each commit, to wake whoever waits for one

-- What is replicated and logged are the writes, not the script: it asks for the time. Redis 7 always does so.
if redis.replicate_commands then redis.replicate_commands() end

local prefix, run_id = KEYS[1], ARGV[1]
local FORMAT = prefix .. 'format'
local RUNS = prefix .. 'runs'
local TEXTS = prefix .. 'texts'
local RUN = prefix .. 'run:' .. run_id
local JOURNAL = prefix .. 'journal:' .. run_id
local RUN_BLOBS = prefix .. 'run-blobs:' .. run_id
local BLOB_USES = prefix .. 'blob-uses'
local DEFINITION_USES = prefix .. 'definition-uses'
local CHANGES = prefix .. 'changes'

local function blob_key(hash) return prefix .. 'blob:' .. hash end

local function definition_key(hash) return prefix .. 'definition:' .. hash end

-- Lua itself would write 14 digits.
local function exact(number) return string.format('%.17g', number) end

-- The store's own clock, in seconds.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function lease_ends(seconds) return exact(now() + tonumber(seconds)) end

-- A batch in ARGV, from `at` on: how many records; how many blobs; kind, at and payload of each record;
-- hash, '1' or '', and content of each blob, where '' says that the content must be here already.

local function end_of_batch(at) return at + 2 + 3 * (ARGV[at] + ARGV[at + 1]) end

-- The hash of the first blob that should be here and is not.
local function missing_blob(at)
  local first = at + 2 + 3 * ARGV[at]
  for i = first, first + 3 * (ARGV[at + 1] - 1), 3 do
    if ARGV[i + 1] == '' and redis.call('EXISTS', blob_key(ARGV[i])) == 0 then return ARGV[i] end
  end
end

local function append_records(at, first_seq)
  for i = 0, ARGV[at] - 1 do
    local record = at + 2 + 3 * i
    redis.call('XADD', JOURNAL, string.format('%d-0', first_seq + i),
      'kind', ARGV[record], 'at', ARGV[record + 1], 'payload', ARGV[record + 2])
  end
end

local function keep_blobs(at)
  local first = at + 2 + 3 * ARGV[at]
  for i = first, first + 3 * (ARGV[at + 1] - 1), 3 do
    if ARGV[i + 1] ~= '' then redis.call('SETNX', blob_key(ARGV[i]), ARGV[i + 2]) end
    if redis.call('SADD', RUN_BLOBS, ARGV[i]) == 1 then redis.call('HINCRBY', BLOB_USES, ARGV[i], 1) end
  end
end

local function tell() redis.call('XADD', CHANGES, 'MAXLEN', '~', 100, '*', 'run', run_id) end

-- Runs and their journals. ARGV[1] is the run.
--
--   <prefix>runs                sorted set: run -> created_at
--   <prefix>texts               hash: run -> the text that searches look through
--   <prefix>run:<run>           hash: what is known of the run, and when its lease ends
--   <prefix>journal:<run>       Stream: its records, <seq>-0 each
--   <prefix>run-blobs:<run>     set: the blobs that it needs
--   <prefix>blob:<hash>, <prefix>definition:<hash>         the contents
--   <prefix>blob-uses, <prefix>definition-uses             hashes: hash -> how many runs need it

local run_id = ARGV[1]
local RUNS = prefix .. 'runs'
local TEXTS = prefix .. 'texts'
local RUN = prefix .. 'run:' .. run_id
local JOURNAL = prefix .. 'journal:' .. run_id
local RUN_BLOBS = prefix .. 'run-blobs:' .. run_id
local BLOB_USES = prefix .. 'blob-uses'
local DEFINITION_USES = prefix .. 'definition-uses'

local function blob_key(hash) return prefix .. 'blob:' .. hash end

local function definition_key(hash) return prefix .. 'definition:' .. hash end

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

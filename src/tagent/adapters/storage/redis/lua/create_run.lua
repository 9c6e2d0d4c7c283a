-- ARGV: run, format, created_at, lease in seconds, definition's hash, definition, text, fields as JSON, batch,
-- effects.
if redis.call('EXISTS', RUN) == 1 then return {'conflict', 'its beginning', 'an existing run'} end
local missing = missing_blob(9)
if missing then return {'missing', missing} end
local effects = effects_at(end_of_batch(9))
local refusal = refusal_of(effects)
if refusal then return refusal end

redis.call('ZADD', RUNS, ARGV[3], run_id) -- refuses a time that is no number; a run without a hash is not listed
redis.call('SETNX', FORMAT, ARGV[2])
append_records(9, 1)
redis.call('HSET', RUN, 'lease_ends', lease_ends(ARGV[4]), unpack(cjson.decode(ARGV[8])))
redis.call('SETNX', definition_key(ARGV[5]), ARGV[6])
redis.call('HINCRBY', DEFINITION_USES, ARGV[5], 1)
if ARGV[7] ~= '' then redis.call('HSET', TEXTS, run_id, ARGV[7]) end
keep_blobs(9)
carry_out(effects)
tell(run_id)
return {'done'}

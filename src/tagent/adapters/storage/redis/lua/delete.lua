-- ARGV: run.
local run = redis.call('HMGET', RUN, 'definition_hash', 'finished_at', 'owner', 'lease_ends')
local definition_hash, finished_at, owner, ends = run[1], run[2], run[3], run[4]
if not definition_hash then return {'unknown'} end
if finished_at == '' then return {'unfinished'} end
local seconds_left = tonumber(ends) - now()
if owner ~= '' and seconds_left > 0 then return {'held', owner, exact(seconds_left)} end
local blobs = redis.call('SMEMBERS', RUN_BLOBS)

-- First what a full server allows as well: after the first write it allows the rest.
redis.call('UNLINK', RUN, JOURNAL, RUN_BLOBS)
redis.call('ZREM', RUNS, run_id)
redis.call('HDEL', TEXTS, run_id)
for _, hash in ipairs(blobs) do
  if redis.call('HINCRBY', BLOB_USES, hash, -1) <= 0 then
    redis.call('HDEL', BLOB_USES, hash)
    redis.call('UNLINK', blob_key(hash))
  end
end
if redis.call('HINCRBY', DEFINITION_USES, definition_hash, -1) <= 0 then
  redis.call('HDEL', DEFINITION_USES, definition_hash)
  redis.call('UNLINK', definition_key(definition_hash))
end
tell(run_id)
return {'done'}

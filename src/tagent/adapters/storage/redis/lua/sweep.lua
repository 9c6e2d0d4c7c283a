-- Removes one portion, so that a long sweep does not keep others waiting.
--
-- ARGV: the time; up to which time messages are old; how many documents and topics to look at.
--
-- Returns how many documents and messages were removed, and 1 if that may have been all.
local at, old, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local documents, messages = 0, 0

while left > 0 do
  local scope = redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', exact(at), 'LIMIT', 0, 1)[1]
  if not scope then break end
  local removed = remove_expired(scope, at, left)
  note_expiry(scope) -- were it wrong for once, the loop would find the scope for ever
  documents, left = documents + removed, left - removed
end
while left > 0 do
  local topic = redis.call('ZRANGEBYSCORE', OLDEST, '-inf', '(' .. exact(old), 'LIMIT', 0, 1)[1]
  if not topic then break end
  messages, left = messages + remove_messages_before(topic, old), left - 1
end
if documents + messages > 0 then tell('effects') end
return {'done', documents, messages, left > 0 and 1 or 0}

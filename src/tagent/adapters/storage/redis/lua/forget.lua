-- ARGV: what the names begin with; a byte that is none of UTF-8 ends the range of them.
local first, last = '[' .. ARGV[1], '(' .. ARGV[1] .. '\255'
local scopes = redis.call('ZRANGEBYLEX', SCOPES, first, last)
local topics = redis.call('ZRANGEBYLEX', TOPICS, first, last)
-- Here a name may be followed by that byte.
local subscribers = redis.call('ZRANGEBYLEX', BY_SUBSCRIBER, first, last .. '\255')
local subscribed = redis.call('ZRANGEBYLEX', BY_TOPIC, first, last .. '\255')
if #scopes + #topics + #subscribers + #subscribed == 0 then return {'done'} end

for _, scope in ipairs(scopes) do
  redis.call('UNLINK', scope_key(scope), documents_key(scope), keys_key(scope), document_texts_key(scope),
    expiring_key(scope))
  redis.call('ZREM', SCOPES, scope)
  redis.call('ZREM', EXPIRING, scope)
end
for _, topic in ipairs(topics) do
  redis.call('UNLINK', topic_key(topic), messages_key(topic), message_keys_key(topic))
  redis.call('ZREM', TOPICS, topic)
  redis.call('ZREM', OLDEST, topic)
end
for _, cursor in ipairs(subscribers) do
  remove_cursor(string.match(cursor, '^(.*)\255(.*)$'))
end
for _, cursor in ipairs(subscribed) do
  local topic, subscriber = string.match(cursor, '^(.*)\255(.*)$')
  remove_cursor(subscriber, topic)
end
tell('effects')
return {'done'}

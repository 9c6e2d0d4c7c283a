-- Messages in topics, and how far each subscriber has read.
--
--   <prefix>topics                      sorted set, all scores 0: the names of the topics, to find them by prefix
--   <prefix>topic:<topic>               hash: last_seq, and last_at, when that message was appended
--   <prefix>messages:<topic>            Stream: what is kept of it, <seq>-0 each
--   <prefix>message-keys:<topic>        sorted set: the key of a message that is kept -> its seq
--   <prefix>oldest                      sorted set: topic -> when the first message was appended that is kept
--   <prefix>cursors                     hash: <subscriber>\255<topic> -> '<seq> <failures>'
--   <prefix>cursors-by-subscriber       sorted set, all scores 0: <subscriber>\255<topic>
--   <prefix>cursors-by-topic            sorted set, all scores 0: <topic>\255<subscriber>
--
-- \255 is no byte of UTF-8: it stands in no name, and behind every one that begins a longer one.

local TOPICS = prefix .. 'topics'
local OLDEST = prefix .. 'oldest'
local CURSORS = prefix .. 'cursors'
local BY_SUBSCRIBER = prefix .. 'cursors-by-subscriber'
local BY_TOPIC = prefix .. 'cursors-by-topic'

local function topic_key(topic) return prefix .. 'topic:' .. topic end

local function messages_key(topic) return prefix .. 'messages:' .. topic end

local function message_keys_key(topic) return prefix .. 'message-keys:' .. topic end

local function cursor_of(subscriber, topic) return subscriber .. '\255' .. topic end

local function last_seq(topic) return redis.call('HGET', topic_key(topic), 'last_seq') or '0' end

-- Why the receipts cannot be written, nil if they can. Subscriptions are written before them.
local function refusal_of_receipts(receipts, subscriptions)
  local begun = {}
  for _, it in ipairs(subscriptions) do begun[cursor_of(it.subscriber, it.topic)] = last_seq(it.topic) end
  for _, it in ipairs(receipts) do
    local cursor = cursor_of(it.subscriber, it.topic)
    local kept = redis.call('HGET', CURSORS, cursor)
    local found = kept and string.match(kept, '^%d+') or begun[cursor] or '0'
    if found ~= it.expected_seq then return {'cursor', it.subscriber, it.topic, it.expected_seq, found} end
  end
end

local function subscribe(subscription)
  local subscriber, topic = subscription.subscriber, subscription.topic
  if redis.call('HSETNX', CURSORS, cursor_of(subscriber, topic), last_seq(topic) .. ' 0') == 1 then
    redis.call('ZADD', BY_SUBSCRIBER, 0, cursor_of(subscriber, topic))
    redis.call('ZADD', BY_TOPIC, 0, cursor_of(topic, subscriber))
  end
end

local function move_cursor(receipt)
  local subscriber, topic = receipt.subscriber, receipt.topic
  if redis.call('HSET', CURSORS, cursor_of(subscriber, topic), receipt.seq .. ' ' .. receipt.failures) == 1 then
    redis.call('ZADD', BY_SUBSCRIBER, 0, cursor_of(subscriber, topic))
    redis.call('ZADD', BY_TOPIC, 0, cursor_of(topic, subscriber))
  end
end

local function remove_cursor(subscriber, topic)
  redis.call('HDEL', CURSORS, cursor_of(subscriber, topic))
  redis.call('ZREM', BY_SUBSCRIBER, cursor_of(subscriber, topic))
  redis.call('ZREM', BY_TOPIC, cursor_of(topic, subscriber))
end

-- Returns the message's place in its topic; that of the first with its key, if that is kept.
local function append_message(message, at)
  local topic = message.topic
  if message.key ~= '' then
    local found = redis.call('ZSCORE', message_keys_key(topic), message.key)
    if found then return tonumber(found) end
  end
  local last = redis.call('HMGET', topic_key(topic), 'last_seq', 'last_at')
  local seq = tonumber(last[1] or 0) + 1
  -- The server's clock may be set back; the messages of a topic are in the order of their times all the same.
  local its_time = exact(math.max(at, tonumber(last[2] or 0)))
  redis.call('XADD', messages_key(topic), string.format('%d-0', seq), 'at', its_time, 'payload', message.payload,
    'key', message.key, 'sender', message.sender, 'reply_to', message.reply_to)
  redis.call('HSET', topic_key(topic), 'last_seq', string.format('%d', seq), 'last_at', its_time)
  if message.key ~= '' then redis.call('ZADD', message_keys_key(topic), string.format('%d', seq), message.key) end
  if seq == 1 then redis.call('ZADD', TOPICS, 0, topic) end
  if redis.call('XLEN', messages_key(topic)) == 1 then redis.call('ZADD', OLDEST, its_time, topic) end
  return seq
end

-- When the message was appended.
local function time_of(topic, seq)
  local id = string.format('%d-0', seq)
  return redis.call('XRANGE', messages_key(topic), id, id)[1][2][2]
end

-- Removes the messages of a topic that keeps some, up to that time; returns how many there were. As their
-- places have no gaps and their times an order, a few looks find where to cut, however many there are.
local function remove_messages_before(topic, time)
  local last = tonumber(last_seq(topic))
  local first = last - redis.call('XLEN', messages_key(topic)) + 1
  local kept, behind = first, last + 1
  while kept < behind do
    local middle = math.floor((kept + behind) / 2)
    if tonumber(time_of(topic, middle)) < time then kept = middle + 1 else behind = middle end
  end
  redis.call('XTRIM', messages_key(topic), 'MAXLEN', string.format('%d', last - kept + 1))
  redis.call('ZREMRANGEBYSCORE', message_keys_key(topic), '-inf', string.format('(%d', kept))
  if kept <= last then
    redis.call('ZADD', OLDEST, time_of(topic, kept), topic)
  else
    redis.call('ZREM', OLDEST, topic)
  end
  return kept - first
end

-- The effects of a write, which memory.lua and messages.lua carry out.
--
-- In ARGV, from `at` on: how many subscriptions, receipts, puts and messages there are, then all of these, with
-- the fields below in their order. Each is '' where there is nothing to say.

local KINDS = {
  {name = 'subscriptions', fields = {'subscriber', 'topic'}},
  {name = 'receipts', fields = {'subscriber', 'topic', 'expected_seq', 'seq', 'failures'}},
  {name = 'puts', fields = {'scope', 'key', 'is_deletion', 'value', 'text', 'expected_version', 'ttl_seconds',
    'documents_allowed', 'bytes_allowed'}},
  {name = 'messages', fields = {'topic', 'payload', 'key', 'sender', 'reply_to'}},
}

-- Returns the effects, which happen at one time, and where in ARGV they end.
local function effects_at(at)
  local effects, place = {time = now()}, at + #KINDS
  for i, kind in ipairs(KINDS) do
    local list = {}
    for j = 1, tonumber(ARGV[at + i - 1]) do
      local it = {}
      for k, field in ipairs(kind.fields) do it[field] = ARGV[place + k - 1] end
      list[j] = it
      place = place + #kind.fields
    end
    effects[kind.name] = list
  end
  return effects, place
end

-- Why the effects cannot be written, as the answer of the script; nil if they can.
local function refusal_of(effects)
  return refusal_of_receipts(effects.receipts, effects.subscriptions) or refusal_of_puts(effects.puts, effects.time)
end

-- Does what was not refused; returns the versions of the puts and the places of the messages.
local function carry_out(effects)
  local versions, seqs = {}, {}
  for _, it in ipairs(effects.subscriptions) do subscribe(it) end
  for _, it in ipairs(effects.receipts) do move_cursor(it) end
  for i, it in ipairs(effects.puts) do versions[i] = put_document(it, effects.time) end
  for i, it in ipairs(effects.messages) do seqs[i] = append_message(it, effects.time) end
  return versions, seqs
end

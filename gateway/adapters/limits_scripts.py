"""The Lua scripts that keep limits and money in Redis: one per step, each atomic.

Every script takes one key and one argument: the key of the books, whose name gives the prefix and
hash tag of all others, and a JSON object. It answers with a JSON object. Redis numbers are doubles,
exact to 2^53: times are milliseconds, rates are debts in 1/60,000 of a unit (see limits_memory),
single ceilings are bounded by the caller, and balances, which have no bound, stay decimal strings
that are added by HINCRBY (64 bits) and compared in two parts.

Keys, all on one shard by the hash tag of the prefix::

    books                          hash: when the balances were opened, and read from the database
    hold:<request>                 hash: state, ceiling, held_at, lease, claim (as it was asked)
    leases                         sorted set: requests that hold money, by the end of their lease
    balance:<account>:<period>:<start>   hash: spent, held, in nano-dollars
    rate:<account>                 hash: debts of requests and tokens, and their moment
    live:<account>                 sorted set: requests at once, by the end of their lease
    lapsed                         sorted set: requests whose lease ran out, by when to look them up in the log
    processes                      sorted set: who shares these books, by when they were last heard
    behind                         set: those of them that have not written all that they spent alone
    gone                           set: processes that have ended and whose journals are wholly in the log
    moved                          hash: until when the log has what ended in each of them, once books are lost

What ends takes its keys with it or lets them expire; only the balances of total budgets stay.
"""

from __future__ import annotations

from gateway.adapters.limits_prelude import script

HOLD = script("""
lapse()
local record = prefix .. 'hold:' .. ask.id
local known = call('HMGET', record, 'state', 'ceiling', 'held_at', 'lease')
if known[1] then
  return cjson.encode({
    now = now, state = known[1], ceiling = known[2],
    held_at = tonumber(known[3]), lease = tonumber(known[4]),
  })
end
for _, account in ipairs(ask.accounts) do
  for _, balance in ipairs(account.balances) do
    if balance.to and (now < balance.from or now >= balance.to) then
      return cjson.encode({now = now, elsewhen = true})
    end
  end
end

local used, refusals = shortages(ask.accounts, ask.ceiling)
local rates = {}
for number, account in ipairs(ask.accounts) do
  if account.live then
    call('ZREMRANGEBYSCORE', account.live, '-inf', whole(now))
    if call('ZCARD', account.live) >= account.places then
      refusals[#refusals + 1] = {limit = 'places', account = account.id, most = account.places}
    end
  end
  if account.rate then
    rates[number] = rates_of(account)
    for _, name in ipairs({'requests', 'tokens'}) do
      if account[name] then
        local debt = rates[number][name]
        local wait = wait_ms(debt, name == 'requests' and 1 or ask.tokens, account[name])
        if wait > 0 then
          local left = math.max(0, account[name] - math.ceil(debt / 60000))
          refusals[#refusals + 1] =
            {limit = name, account = account.id, most = account[name], wait = wait, left = left, asked = ask.tokens}
        end
      end
    end
  end
end
if #refusals > 0 then
  return cjson.encode({now = now, refusals = refusals, used = #used > 0 and used or nil})
end

local lease = now + ask.lease
for number, account in ipairs(ask.accounts) do
  if account.live then
    call('ZADD', account.live, whole(lease), ask.id)
    live_on(account.live, ask.lease + 1000)
  end
  if account.rate then
    local taken = rates[number]
    if taken.requests then taken.requests = taken.requests + 60000 end
    if taken.tokens then taken.tokens = taken.tokens + ask.tokens * 60000 end
    keep_rates(account, taken)
  end
  for _, balance in ipairs(account.balances) do add_to(balance, 'held', ask.ceiling) end
end
call('HSET', record, 'state', 'held', 'ceiling', ask.ceiling, 'held_at', whole(now), 'lease', whole(lease),
  'claim', ARGV[1])
call('PEXPIRE', record, whole(ask.lease + KEPT_MS))
call('ZADD', prefix .. 'leases', whole(lease), ask.id)
local reply = {now = now, lease = lease}
if #used > 0 then reply.used = used end
return cjson.encode(reply)
""")
"""Checks every limit of every account and takes all or nothing."""

EXTEND = script("""
local record = prefix .. 'hold:' .. ask.id
local found = call('HMGET', record, 'state', 'ceiling', 'claim', 'lease')
if found[1] ~= 'held' or tonumber(found[4]) <= now then return cjson.encode({now = now, ended = true}) end
-- Up to the ceiling that the caller ends with, so that a repeated extension adds nothing.
local more = tonumber(ask.ceiling) - tonumber(found[2])
if more > 0 then
  local accounts = cjson.decode(found[3]).accounts
  local _, refusals = shortages(accounts, whole(more))
  if #refusals > 0 then return cjson.encode({now = now, refusals = refusals}) end
  for _, account in ipairs(accounts) do
    for _, balance in ipairs(account.balances) do add_to(balance, 'held', whole(more)) end
  end
  call('HSET', record, 'ceiling', ask.ceiling)
end
return cjson.encode({now = now})
""")
"""Raises the ceiling of a living hold where every budget of it allows."""

RENEW = script("""
local lease = now + ask.lease
for _, id in ipairs(ask.ids) do
  local record = prefix .. 'hold:' .. id
  local found = call('HMGET', record, 'state', 'claim', 'lease')
  if found[1] == 'held' and tonumber(found[3]) > now then
    for _, account in ipairs(cjson.decode(found[2]).accounts) do
      if account.live then
        call('ZADD', account.live, whole(lease), id)
        live_on(account.live, ask.lease + 1000)
      end
    end
    call('HSET', record, 'lease', whole(lease))
    call('PEXPIRE', record, whole(ask.lease + KEPT_MS))
    call('ZADD', prefix .. 'leases', whole(lease), id)
  end
end
return cjson.encode({now = now})
""")
"""Prolongs the leases of living holds; what has lapsed stays so."""

END = script("""
local record = prefix .. 'hold:' .. ask.id
local found = call('HMGET', record, 'state', 'ceiling', 'claim')
if found[1] == 'ended' then return cjson.encode({now = now, done = false}) end
if not found[1] then
  if not ask.charges then
    return cjson.encode({now = now, done = false, opened = tonumber(call('HGET', KEYS[1], 'opened'))})
  end
  -- A hold that this store never had, or lost. What ended before the balances were read is in them.
  if ask.at >= tonumber(call('HGET', KEYS[1], 'read')) then
    for _, balance in ipairs(ask.charges) do add_to(balance, 'spent', ask.amount) end
  end
  call('HSET', record, 'state', 'ended')
  call('PEXPIRE', record, whole(KEPT_MS))
  return cjson.encode({now = now, done = true})
end
local claim = cjson.decode(found[3])
for _, account in ipairs(claim.accounts) do
  if account.live then call('ZREM', account.live, ask.id) end
  if account.tokens and ask.tokens then
    local rates = rates_of(account)
    rates.tokens = math.max(0, rates.tokens + (ask.tokens - claim.tokens) * 60000)
    keep_rates(account, rates)
  end
  for _, balance in ipairs(account.balances) do
    add_to(balance, found[1] == 'held' and 'held' or 'spent', minus(found[2]))
    add_to(balance, 'spent', ask.amount)
  end
end
call('DEL', record)
if ask.charges or not ask.tokens then
  -- Told again, because its answer was late or somebody else was quicker, it would find no hold and be charged as
  -- one that was lost.
  call('HSET', record, 'state', 'ended')
  call('PEXPIRE', record, whole(KEPT_MS))
end
call('ZREM', prefix .. 'leases', ask.id)
return cjson.encode({now = now, done = true})
""")
"""Settles or releases a hold, once; with ``charges`` also one that the store does not have."""

LAPSED = script("""
lapse()
local lapsed, gone = prefix .. 'lapsed', prefix .. 'gone'
for _, process in ipairs(ask.gone) do call('SADD', gone, process) end
if #ask.gone > 0 then call('PEXPIRE', gone, whole(KEPT_MS)) end
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', lapsed, '-inf', whole(now), 'LIMIT', 0, ask.most)) do
  local hold = call('HMGET', prefix .. 'hold:' .. id, 'state', 'claim')
  if hold[1] == 'lapsed' then
    call('ZADD', lapsed, whole(now + @AGAIN_MS@), id)
    local by = cjson.decode(hold[2]).by or '' -- none where an earlier release made it
    found[#found + 1] = {id = id, is_gone = call('SISMEMBER', gone, by) == 1}
  else
    call('ZREM', lapsed, id) -- it has ended since
  end
end
return cjson.encode({now = now, lapsed = #found > 0 and found or nil})
""")
"""Notes which processes are gone for good, and gives the lapsed holds that are to be looked up in the log."""

SPENT = script("""
local more = lapse()
local found = call('HMGET', ask.balance, 'spent', 'held')
return cjson.encode({now = now, more = more, spent = found[1] or '0', held = found[2] or '0'})
""")
"""Reads one balance; ``more`` says that leases which have run out are still to be cleared."""

RESTORE = script(
    """
if not ask.corrects and call('EXISTS', KEYS[1]) == 1 then return cjson.encode({now = now, done = false}) end
for _, balance in ipairs(ask.balances) do
  if not ask.corrects then call('DEL', balance.key) end
  call('HSET', balance.key, 'spent', balance.spent)
  touch_balance(balance)
end
if ask.opens then call('HSET', KEYS[1], 'opened', whole(now), 'read', whole(ask.read)) end
return cjson.encode({now = now, done = true})
""",
    needs_books=False,
)
"""Sets balances: all of them until the books are opened, later only those that are corrected."""

PROBE = script("return cjson.encode({now = now})")
"""Says whether the store answers and has its books."""

PRESENCE = script(
    """
local processes, moved, behind = prefix .. 'processes', prefix .. 'moved', prefix .. 'behind'
call('ZADD', processes, whole(now), ask.process)
call(ask.behind and 'SADD' or 'SREM', behind, ask.process)
for _, gone in ipairs(call('ZRANGEBYSCORE', processes, '-inf', whole(now - ask.lease))) do
  call('ZREM', processes, gone)
  call('SREM', behind, gone)
  call('HDEL', moved, gone)
end
call('PEXPIRE', processes, whole(ask.lease))
call('PEXPIRE', behind, whole(ask.lease))
local reply = {now = now, processes = call('ZCARD', processes), behind = call('SCARD', behind) > 0}
if call('EXISTS', KEYS[1]) == 1 then
  local used = {}
  for number, balance in ipairs(ask.balances) do
    local found = call('HMGET', balance, 'spent', 'held')
    used[number] = {found[1] or '0', found[2] or '0'}
  end
  if #used > 0 then reply.used = used end
  return cjson.encode(reply)
end
reply.lost = true
if ask.moved then
  call('HSET', moved, ask.process, whole(ask.moved))
  call('PEXPIRE', moved, whole(ask.lease))
  reply.moved = ask.moved
  for _, process in ipairs(call('ZRANGE', processes, 0, -1)) do
    reply.moved = math.min(reply.moved, tonumber(call('HGET', moved, process) or 0))
  end
end
return cjson.encode(reply)
""",
    needs_books=False,
)
"""Notes that a process is there, and whether it has written all that it spent. Answers how many are, whether one of
them has not, and balances it asks for; of lost books, until when the log has what ended in any of them."""

SCRIPTS = (HOLD, EXTEND, RENEW, END, LAPSED, SPENT, RESTORE, PROBE, PRESENCE)

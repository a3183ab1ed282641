"""What the Lua scripts of limits_scripts have in common: their constants, and functions that all of them begin with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

KEPT_MS = 7 * 86_400_000
"""How long a late settlement still finds a lapsed hold; afterwards its ceiling stands as spent."""

LAPSES_PER_CALL = 32
"""How many leases that have run out one call clears at most."""

LOOKED_UP_AFTER_MS = 5_000
LOOKED_UP_AGAIN_AFTER_MS = 60_000
"""When a lapsed hold is looked up in the log, and when again if the log does not know it yet."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name under which Redis keeps it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by SHA-1; nothing secret depends on it.
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


_PRELUDE = """
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6) -- less 'books'
local ask = cjson.decode(ARGV[1])
local KEPT_MS, DAY_MS, LAPSES, LOOK_MS = @KEPT_MS@, 86400000, @LAPSES@, @LOOK_MS@

local now = ask.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function whole(number) return string.format('%.0f', number) end

-- Never shortens the life that a key already has.
local function live_on(key, ms)
  if call('PTTL', key) < ms then call('PEXPIRE', key, whole(ms)) end
end

local function touch_balance(balance)
  if balance.to then call('PEXPIRE', balance.key, whole(balance.to + KEPT_MS + DAY_MS - now)) end
end

local function add_to(balance, field, amount)
  call('HINCRBY', balance.key, field, amount)
  touch_balance(balance)
end

local function minus(amount) return amount == '0' and '0' or '-' .. amount end

local function lapse()
  local due = call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', whole(now), 'LIMIT', 0, LAPSES)
  for _, id in ipairs(due) do
    local record = prefix .. 'hold:' .. id
    local found = call('HMGET', record, 'state', 'ceiling', 'claim')
    if found[1] == 'held' then
      for _, account in ipairs(cjson.decode(found[3]).accounts) do
        if account.live then call('ZREM', account.live, id) end
        for _, balance in ipairs(account.balances) do
          add_to(balance, 'held', minus(found[2]))
          add_to(balance, 'spent', found[2])
        end
      end
      call('HSET', record, 'state', 'lapsed')
      call('PEXPIRE', record, whole(KEPT_MS))
      call('ZADD', prefix .. 'lapsed', whole(now + LOOK_MS), id)
      live_on(prefix .. 'lapsed', KEPT_MS)
    end
    call('ZREM', prefix .. 'leases', id)
  end
  return #due == LAPSES
end

-- The debts of an account as they stand now; a clock that went back changes nothing.
local function rates_of(account)
  local found = call('HMGET', account.rate, 'requests', 'tokens', 'at')
  local at = tonumber(found[3]) or now
  local passed = math.max(0, now - at)
  local function drained(debt, per_minute)
    return math.max(0, (tonumber(debt) or 0) - passed * per_minute)
  end
  return {
    at = math.max(at, now),
    requests = account.requests and drained(found[1], account.requests),
    tokens = account.tokens and drained(found[2], account.tokens),
  }
end

local function keep_rates(account, rates)
  local longest = 0
  call('HSET', account.rate, 'at', whole(rates.at))
  for _, name in ipairs({'requests', 'tokens'}) do
    if rates[name] then
      call('HSET', account.rate, name, whole(rates[name]))
      longest = math.max(longest, math.ceil(rates[name] / account[name]))
    end
  end
  call('PEXPIRE', account.rate, whole(longest + 60000))
end

local function wait_ms(debt, units, per_minute)
  return math.max(0, math.ceil((debt + (units - per_minute) * 60000) / per_minute))
end

-- Whether decimal strings add up to more than a limit: dollars and nano-dollars apart, so exact.
local function exceeds(limit, amounts)
  local dollars, nanos = 0, 0
  for _, amount in ipairs(amounts) do
    dollars = dollars + (tonumber(string.sub(amount, 1, -10)) or 0)
    nanos = nanos + tonumber(string.sub(amount, -9))
  end
  dollars, nanos = dollars + math.floor(nanos / 1e9), nanos % 1e9
  local most = tonumber(string.sub(limit, 1, -10)) or 0
  return dollars > most or (dollars == most and nanos > tonumber(string.sub(limit, -9)))
end

-- The budgets that this amount does not fit into, and what each had spent and held before.
local function shortages(accounts, amount)
  local used, refusals = {}, {}
  for _, account in ipairs(accounts) do
    for _, balance in ipairs(account.balances) do
      local found = call('HMGET', balance.key, 'spent', 'held')
      local before = {spent = found[1] or '0', held = found[2] or '0'}
      used[#used + 1] = before
      if exceeds(balance.amount, {before.spent, before.held, amount}) then
        refusals[#refusals + 1] = {
          limit = 'budget', account = account.id, period = balance.period, amount = balance.amount,
          spent = before.spent, held = before.held, asked = amount,
        }
      end
    end
  end
  return used, refusals
end
"""

_NEEDS_BOOKS = """
if call('EXISTS', KEYS[1]) == 0 then return cjson.encode({lost = true, now = now}) end
"""


def script(body: str, *, needs_books: bool = True) -> Script:
    """A script with what they have in common; without ``needs_books`` also for a Redis that has lost its balances."""
    numbers = {"KEPT_MS": KEPT_MS, "LAPSES": LAPSES_PER_CALL, "LOOK_MS": LOOKED_UP_AFTER_MS}
    text = _PRELUDE + (_NEEDS_BOOKS if needs_books else "") + body
    for name, number in {**numbers, "AGAIN_MS": LOOKED_UP_AGAIN_AFTER_MS}.items():
        text = text.replace(f"@{name}@", str(number))
    return Script(text)

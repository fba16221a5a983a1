-- The claim: the best ready tasks of the wanted kinds, within the limits that span all nodes.
--
-- The lanes of the wanted kinds are merged by priority, then by arrival. Within one step room only shrinks,
-- so each lane is walked once, from its best head on. A lane in which one group stands is read in portions.
local PORTION = 1000

-- Tasks that the step may still claim.
local room = 0

local function running(key, field)
  return tonumber(call('HGET', K .. key, field) or 0) + (sums[key][field] or 0)
end

-- The times of shared rates and the running totals of kinds that this step has looked up.
local arrivals, totals = {}, {}

-- Takes one start from a shared rate, in microseconds; nothing, or when to come back.
local function take_rate(rate, group)
  if not rate then
    return nil
  end
  local field = rate.by_group and group ~= '' and 'g' .. #rate.key .. ':' .. rate.key .. group or 'k' .. rate.key
  local now_us = now * 1000
  local span = math.min(rate.interval * rate.burst, 4e15)
  local known = tonumber(arrivals[field] or call('ZSCORE', K .. 'rates', field) or 0)
  local tat = math.min(math.max(known, now_us), now_us + span)
  local new = tat + rate.interval
  if new > now_us + span then
    if tat < known then
      -- The clock was set back: this is what opens the gate again.
      arrivals[field] = tat
      rank(K .. 'rates', field, tat)
    end
    return math.ceil((new - span) / 1000)
  end
  arrivals[field] = new
  rank(K .. 'rates', field, new)
  return nil
end

local function walker(lane, want)
  local heads = call('ZRANGE', K .. 'o:' .. lane, 0, 1)
  if #heads == 0 then
    return nil
  end
  local w = { lane = lane, number = pack('>I4', lane), want = want, skipped = 0, started = 0 }
  if #heads == 1 then
    w.alone = string.match(heads[1], '^%d+:(.*)$')
    w.turn = tonumber(sub(heads[1], 1, 16))
    w.head = heads[1]
    w.read, w.raws, w.at, w.taken, w.expired = {}, {}, 0, 0, 0
  end
  return w
end

local function is_full(w, group)
  local limit = w.want.per_group
  if not limit or group == '' then
    return false
  end
  return running('rg', w.want.kind .. ':' .. group) >= limit
end

-- Reads the next portion of the only backlog of a lane, with its tasks.
local function read_on(w)
  local size = math.max(1, math.min(PORTION, w.want.left, room))
  local list = call('ZRANGE', backlog(w.lane, w.alone), w.taken, w.taken + size - 1)
  local serials = {}
  for n = 1, #list do
    serials[n] = sub(list[n], -16)
  end
  w.read, w.at, w.raws = list, 0, fetch(K .. 't', serials)
end

-- What a lane offers next: score, member, group, packed task.
local function peek(w)
  if w.alone then
    if w.want.per_group and is_full(w, w.alone) then
      return nil
    end
    local raw = w.raws[w.at + 1]
    if not raw then
      read_on(w)
      raw = w.raws[1]
      if not raw then
        return nil
      end
    end
    -- Reading a score from the set costs more than the priority that it stands for.
    local priority = sub(raw, 86, 89)
    if priority ~= w.priority then
      w.priority, w.score_number = priority, -unpacked('>i4', priority)
    end
    return w.score_number, w.read[w.at + 1], w.alone, raw
  end
  while true do
    local head = call('ZRANGE', K .. 'o:' .. w.lane, w.skipped, w.skipped, 'WITHSCORES')
    if not head[1] then
      return nil
    end
    local name, group = string.match(head[1], '^(%d+):(.*)$')
    if not is_full(w, group) then
      w.head, w.turn = head[1], tonumber(sub(name, 1, 16))
      name = sub(name, 17)
      return tonumber(head[2]), name, group, call('HGET', K .. 't', sub(name, -16))
    end
    w.skipped = w.skipped + 1
  end
end

-- The task that was offered leaves its backlog for a claim.
local function take(w, name, group)
  if w.alone then
    w.at, w.taken = w.at + 1, w.taken + 1
    return
  end
  set_counter('t' .. w.lane, math.max(counter('t' .. w.lane), w.turn))
  call('ZREM', backlog(w.lane, group), name)
  call('ZREM', K .. 'o:' .. w.lane, w.head)
  call('HDEL', K .. 'h:' .. w.lane, group)
  refresh(w.lane, group)
end

-- The walk through a lane of one group is over: what was taken leaves its backlog.
local function close(w)
  add(sums.n, w.lane .. ':' .. READY, -w.started)
  add(sums.n, w.lane .. ':' .. RUNS, w.started)
  add(sums.rk, w.want.kind, w.started)
  if not w.alone or w.taken == 0 then
    return
  end
  local turn = 't' .. w.lane
  call('ZREMRANGEBYRANK', backlog(w.lane, w.alone), 0, w.taken - 1)
  call('ZREM', K .. 'o:' .. w.lane, w.head)
  call('HDEL', K .. 'h:' .. w.lane, w.alone)
  if w.taken > w.expired then
    set_counter(turn, math.max(counter(turn), w.turn + w.taken - w.expired - 1))
  end
  refresh(w.lane, w.alone)
end

local function start(w, name, group, raw, claimed)
  local serial = #name == 16 and name or sub(name, -16)
  local flags, first = byte(raw, 3), sub(raw, 25, 30)
  local n = claimed.size + 1
  local epoch = claimed.first + n - 1
  local head = claimed.heads[flags]
  if not head then
    head = pack('>BBBI4', RUNNING, CLAIM, flags, claimed.owner)
    claimed.heads[flags] = head
  end
  raw = head .. w.number .. pack('>I7', epoch) .. NOW .. (first == NEVER and NOW or first) .. sub(raw, PLACE_AT)
  claimed.size, claimed.serials[n], claimed.raws[n] = n, serial, raw
  if bit.band(flags, AWAITS) ~= 0 then
    claimed.tied[#claimed.tied + 1], claimed.tied_at[#claimed.tied + 1] = serial, n
  end
  claimed.writes[2 * n - 1], claimed.writes[2 * n] = serial, raw
  claimed.mark(serial)
  local kind = w.want.kind
  w.started = w.started + 1
  totals[kind] = totals[kind] + 1
  room = room - 1
  if group ~= '' then
    add(sums.rg, kind .. ':' .. group, 1)
  end
end

-- Claims what a lane offers as long as there is nothing to look at: no limit, no rival, no expiry.
local function sprint(w, claimed)
  local want, from, size = w.want, w.at, 0
  if not w.alone or w.alone ~= '' or want.total or want.rate then
    return
  end
  local most = math.min(room, want.left, #w.raws - from)
  while size < most and sub(w.raws[from + size + 1], 63, 68) == NEVER do
    size = size + 1
    start(w, w.read[from + size], '', w.raws[from + size], claimed)
  end
  w.at, w.taken, want.left = from + size, w.taken + size, want.left - size
  return size > 0
end

-- Handles what a lane offers; false when the lane, or the step (`false, true`), is over.
local function step(w, claimed, ended)
  local want, name, group, raw = w.want, w.name, w.group, w.raw
  if want.left == 0 or want.total and totals[want.kind] >= want.total then
    return false
  end
  local expires = sub(raw, 63, 68) ~= NEVER
  if expires and unpacked('>I6', raw, 63) <= now then
    if #ended >= 1000 then
      return false, true
    end
    local t = load(sub(name, -16))
    ended[#ended + 1] = t.id
    rare().expire_one(t)
    if w.alone then
      w.at, w.taken, w.expired = w.at + 1, w.taken + 1, w.expired + 1
    else
      call('ZREM', backlog(w.lane, group), name)
      refresh(w.lane, group)
    end
    return true
  end
  if want.per_group and is_full(w, group) then
    -- Another lane has filled the group since.
    w.skipped = w.skipped + 1
    return not w.alone
  end
  local reopens = take_rate(want.rate, group)
  if reopens then
    claimed.reopens = math.min(claimed.reopens or reopens, reopens)
    if not want.rate.by_group or w.alone then
      return false
    end
    w.skipped = w.skipped + 1
    return true
  end
  if expires then
    rank(K .. 'x', sub(name, -16), false)
  end
  want.left = want.left - 1
  take(w, name, group)
  start(w, name, group, raw, claimed)
  return true
end

local function before(score, name, other_score, other_name)
  if score ~= other_score then
    return score < other_score
  end
  return sub(name, 1, 16) < sub(other_name, 1, 16)
end

-- The walkers of all wanted lanes that are not paused. Where two claims name a lane, it goes by the first.
local function walkers_of(wants)
  local walkers, seen = {}, {}
  for _, want in ipairs(wants) do
    want.kind = call('HGET', K .. 'kinds', want.name)
    if want.kind then
      totals[want.kind] = totals[want.kind] or running('rk', want.kind)
      local pairs_of = call('HGETALL', K .. 'k:' .. want.kind)
      for n = 1, #pairs_of, 2 do
        local lane, queue = tonumber(pairs_of[n]), pairs_of[n + 1]
        if not seen[lane] and (want.queue == '' or want.queue == queue) then
          seen[lane] = true
          if call('SISMEMBER', K .. 'paused', queue) == 0 then
            walkers[#walkers + 1] = walker(lane, want)
          end
        end
      end
    end
  end
  return walkers
end

local function claim(owner, max, wants, ended)
  local claimed = { owner = owner, size = 0, serials = {}, raws = {}, writes = {}, heads = {}, lists = {}, tied = {},
    tied_at = {} }
  local marked
  claimed.mark, marked = marker({ ['v' .. READY] = -1, ['v' .. RUNS] = 1 })
  claimed.first = counter('epoch') + 1
  room = max
  if max == 0 then
    return claimed
  end
  local walkers = walkers_of(wants)
  local open = {}
  for n, w in ipairs(walkers) do
    w.score, w.name, w.group, w.raw = peek(w)
    open[n] = w.score and w or nil
  end
  local stop = false
  while room > 0 and not stop do
    local best, second, best_at
    for n, w in pairs(open) do
      if not best or before(w.score, w.name, best.score, best.name) then
        best, second, best_at = w, best, n
      elseif not second or before(w.score, w.name, second.score, second.name) then
        second = w
      end
    end
    if not best then
      break
    end
    local is_open, is_over
    repeat
      is_open, is_over = not second and sprint(best, claimed), false
      if not is_open then
        is_open, is_over = step(best, claimed, ended)
      end
      if is_open then
        best.score, best.name, best.group, best.raw = peek(best)
        is_open = best.score ~= nil
      end
    until not is_open or room == 0 or second and before(second.score, second.name, best.score, best.name)
    if not is_open then
      open[best_at] = nil
    end
    stop = is_over
  end
  for _, w in ipairs(walkers) do
    close(w)
  end
  marked()
  if claimed.size > 0 then
    count('w', -claimed.size)
    count('epoch', claimed.size)
    add(sums.rn, digits(owner), claimed.size)
    each('HSET', K .. 't', claimed.writes)
    for k, list in ipairs(fetch(K .. 'bl', claimed.tied)) do
      claimed.lists[2 * k - 1], claimed.lists[2 * k] = claimed.tied_at[k], list
    end
  end
  return claimed
end

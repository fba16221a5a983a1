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
  local field = rate.by_group and 'g' .. #rate.key .. ':' .. rate.key .. group or 'k' .. rate.key
  local now_us = now * 1000
  local span = math.min(rate.interval * rate.burst, 4e15)
  local tat = tonumber(arrivals[field] or call('ZSCORE', K .. 'rates', field) or 0)
  tat = math.min(math.max(tat, now_us), now_us + span)
  local new = tat + rate.interval
  if new > now_us + span then
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
  local w = { lane = lane, want = want, skipped = 0 }
  if #heads == 1 then
    w.alone = string.match(heads[1], '^%d+:(.*)$')
    w.turn = tonumber(sub(heads[1], 1, 16))
    w.head = heads[1]
    w.read, w.at, w.taken, w.expired = {}, 0, 0, 0
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
  local list = call('ZRANGE', backlog(w.lane, w.alone), w.taken, w.taken + size - 1, 'WITHSCORES')
  w.read, w.at = list, 0
  local serials = {}
  for n = 1, #list, 2 do
    serials[#serials + 1] = sub(list[n], -16)
  end
  prefetch(serials)
end

-- What a lane offers next: score, member, group.
local function peek(w)
  if w.alone then
    if is_full(w, w.alone) then
      return nil
    end
    if w.at * 2 >= #w.read then
      read_on(w)
      if #w.read == 0 then
        return nil
      end
    end
    return tonumber(w.read[2 * w.at + 2]), w.read[2 * w.at + 1], w.alone
  end
  while true do
    local head = call('ZRANGE', K .. 'o:' .. w.lane, w.skipped, w.skipped, 'WITHSCORES')
    if not head[1] then
      return nil
    end
    local name, group = string.match(head[1], '^(%d+):(.*)$')
    if not is_full(w, group) then
      w.head, w.turn = head[1], tonumber(sub(name, 1, 16))
      return tonumber(head[2]), sub(name, 17), group
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

-- Numbers are slow to write: those in a row share all but two digits.
local hundreds, prefix

local function epoch_digits(epoch)
  local in_row = math.floor(epoch / 100)
  if in_row ~= hundreds then
    hundreds, prefix = in_row, digits(in_row)
  end
  return prefix .. string.format('%02d', epoch % 100)
end

local function start(w, name, group, claimed)
  local serial = sub(name, -16)
  local raw = raws[serial]
  local flags, first, expires = byte(raw, 3), unpacked('>I6', raw, 21), unpacked('>I6', raw, 63)
  claimed.epoch = claimed.epoch + 1
  raw = pack(HEAD, RUNNING, CLAIM, flags, claimed.owner, claimed.epoch, now, first == 0 and now or first)
    .. sub(raw, HEAD_SIZE + 1)
  raws[serial] = raw
  local n = #claimed.serials + 1
  claimed.serials[n], claimed.raws[n] = serial, raw
  claimed.writes[2 * n - 1], claimed.writes[2 * n] = serial, raw
  claimed.runs[2 * n - 1], claimed.runs[2 * n] = epoch_digits(claimed.epoch), serial
  tally(w.lane, READY, serial, -1)
  tally(w.lane, RUNS, serial, 1)
  add(sums.rk, w.want.kind, 1)
  totals[w.want.kind] = totals[w.want.kind] + 1
  room = room - 1
  if group ~= '' then
    add(sums.rg, w.want.kind .. ':' .. group, 1)
  end
  if expires > 0 then
    rank(K .. 'x', serial, false)
  end
end

-- Handles what a lane offers; false when the lane, or the step (`nil, true`), is over.
local function step(w, name, group, claimed, ended)
  local want, serial = w.want, sub(name, -16)
  if want.left == 0 or want.total and totals[want.kind] >= want.total then
    return false
  end
  local raw = raws[serial]
  if not raw then
    prefetch({ serial })
    raw = raws[serial]
  end
  local expires = unpacked('>I6', raw, 63)
  if expires > 0 and expires <= now then
    if #ended >= 1000 then
      return false, true
    end
    local t = load(serial)
    ended[#ended + 1] = t.id
    expire_one(t)
    if w.alone then
      w.at, w.taken = w.at + 1, w.taken + 1
      w.expired = w.expired + 1
    else
      call('ZREM', backlog(w.lane, group), name)
      refresh(w.lane, group)
    end
    return true
  end
  if is_full(w, group) then
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
  want.left = want.left - 1
  take(w, name, group)
  start(w, name, group, claimed)
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

local function claim(owner, node, max, wants, ended)
  local claimed = { owner = owner, epoch = counter('epoch'), serials = {}, raws = {}, writes = {}, runs = {} }
  claimed.first = claimed.epoch + 1
  room = max
  if max == 0 then
    return claimed
  end
  local walkers = walkers_of(wants)
  local open = {}
  for n, w in ipairs(walkers) do
    w.score, w.name, w.group = peek(w)
    open[n] = w.score and w or nil
  end
  local stop = false
  while room > 0 and not stop do
    local best, second
    for _, w in pairs(open) do
      if not best or before(w.score, w.name, best.score, best.name) then
        best, second = w, best
      elseif not second or before(w.score, w.name, second.score, second.name) then
        second = w
      end
    end
    if not best then
      break
    end
    local is_open, is_over
    repeat
      is_open, is_over = step(best, best.name, best.group, claimed, ended)
      if is_open then
        best.score, best.name, best.group = peek(best)
        is_open = best.score ~= nil
      end
    until not is_open or room == 0
      or second and before(second.score, second.name, best.score, best.name)
    if not is_open then
      for n, w in pairs(open) do
        if w == best then
          open[n] = nil
        end
      end
    end
    stop = is_over
  end
  for _, w in ipairs(walkers) do
    close(w)
  end
  count('w', -#claimed.serials)
  set_counter('epoch', claimed.epoch)
  each('HSET', K .. 't', claimed.writes)
  each('HSET', K .. 'r:' .. node, claimed.runs)
  return claimed
end

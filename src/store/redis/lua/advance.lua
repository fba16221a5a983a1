-- advance: settle, promote, expire, cascade, claim, in that order and in one step.
-- ARGV: the clock; what is said of expired attempts; the node, its host, its process, its turn; how long the
-- answer is kept; the lanes of spawned tasks; the settlements; the claims.
EXPIRED = ARGV[2]
local node, host, pid, turn_no = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local at = 7

local function arg()
  at = at + 1
  return ARGV[at]
end

-- The answer of the turn before, for a node that has not heard it. Claims that have been taken from it since
-- are left out: they could not be settled.
local function repeated()
  local last = call('GET', K .. 'last:' .. node)
  if last then
    local kept = cmsgpack.unpack(last)
    if kept[1] >= turn_no then
      local serials = {}
      for n = 1, #kept[4], 16 do
        serials[#serials + 1] = sub(kept[4], n, n + 15)
      end
      local found = fetch(K .. 't', serials)
      local still, raw_texts, lists = {}, {}, {}
      for n, raw in ipairs(found) do
        if raw and byte(raw, 1) == RUNNING and unpacked('>I7', raw, 8) == kept[5] + n - 1 then
          still[#still + 1], raw_texts[#raw_texts + 1] = serials[n], raw
          if bit.band(byte(raw, 3), AWAITS) ~= 0 then
            lists[#lists + 1] = #still
            lists[#lists + 1] = call('HGET', K .. 'bl', serials[n])
          end
        end
      end
      return { kept[2], kept[3], kept[6], kept[7], kept[8], raw_texts, fetch(K .. 'spec', still), lists }
    end
  end
end

local answer = repeated()
if answer then
  return answer
end
-- Frees memory before it takes any: only the first write can be refused for want of it, and what has been
-- done has to be recorded even then.
call('UNLINK', K .. 'last:' .. node)
local owner = node_number(node, host, pid)

for number = 1, tonumber(arg()) do
  wanted[number] = { arg(), arg() }
end

local function is_plain(raw)
  return bit.band(byte(raw, 3), TAKEN + STOPS + AWAITED) == 0 and sub(raw, -2) == '\0\0'
end

-- Successes that nothing else hangs on: most ends.
local plain = { tasks = {}, outputs = {}, files = {}, lanes = {}, owners = {}, heads = {}, bytes = 0, size = 0 }
local plain_tasks, plain_outputs, plain_files = plain.tasks, plain.outputs, plain.files
local hide, hidden = marker('v' .. RUNS, -1)
local show, shown = marker('v' .. (COMPLETED + 3), 1)

-- `budgets` are the failures and losses as they stand in a packed task.
local function complete_plain(serial, raw, output, budgets)
  local flags, by, lane = byte(raw, 3), sub(raw, 4, 7), sub(raw, 53, 56)
  local bytes = unpacked('>I5', raw, 69) + #output
  local head = plain.heads[flags]
  if not head then
    head = pack('>BBBI4', COMPLETED, COMPLETE, bit.bor(flags, ANSWERED), 0)
    plain.heads[flags] = head
  end
  local n = plain.size + 1
  local new = head .. sub(raw, 8, 56) .. NOW .. NEVER .. pack('>I5', bytes) .. budgets .. sub(raw, 82)
  raws[serial] = new
  plain.size, plain.bytes = n, plain.bytes + bytes
  plain_tasks[2 * n - 1], plain_tasks[2 * n] = serial, new
  plain_outputs[2 * n - 1], plain_outputs[2 * n] = serial, output
  plain_files[2 * n - 1], plain_files[2 * n] = in_row(count('end', 1)), serial
  plain.lanes[lane] = (plain.lanes[lane] or 0) + 1
  plain.owners[by] = (plain.owners[by] or 0) + 1
  hide(serial)
  show(serial)
  local length = byte(raw, 90)
  local group_length = byte(raw, 91 + length)
  if group_length > 0 then
    local kind = lane_of(unpacked('>I4', lane)).kind
    add(sums.rg, kind .. ':' .. sub(raw, 92 + length, 91 + length + group_length), -1)
  end
end

local function write_plain()
  each('HSET', K .. 't', plain.tasks)
  each('HSET', K .. 'out', plain.outputs)
  each('ZADD', K .. 'e:2', plain.files)
  for lane, size in pairs(plain.lanes) do
    local number = unpacked('>I4', lane)
    add(sums.n, number .. ':' .. RUNS, -size)
    add(sums.n, number .. ':' .. (COMPLETED + 3), size)
    add(sums.rk, lane_of(number).kind, -size)
  end
  for by, size in pairs(plain.owners) do
    add(sums.rn, digits(unpacked('>I4', by)), -size)
  end
  hidden()
  shown()
  if plain.bytes > 0 then
    count('bytes:2', plain.bytes)
  end
end

-- Applies one settlement to a task that runs under its epoch; answers the transition.
local function settle(t, s)
  local cause = s.cause
  if has(t, STOPS) then
    cause = CANCEL
  elseif has(t, TAKEN) and cause ~= COMPLETE then
    cause = SUPERSEDE
  end
  let_go(t)
  t.failures, t.losses = s.failures, s.losses
  if s.attempt then
    note(t, s.number, s.attempt)
  end
  if cause ~= RELEASE then
    t.expires = 0
  end
  if STATE_BY[cause] then
    if cause == COMPLETE and s.output then
      put('out', t.serial, s.output)
      flag(t, ANSWERED, true)
      t.bytes = t.bytes + #s.output
    end
    if cause == SUPERSEDE then
      stop_for(t, SUPERSEDED)
    end
    finish(t, cause)
    if cause == COMPLETE and #s.spawn > 0 then
      spawn(s.spawn)
    end
  else
    t.state, t.cause, t.run_at = WAITING, cause, math.min(now + s.delay, 2 ^ 48 - 1)
    if cause ~= RELEASE then
      t.place = count('place', 1)
    end
    place(t)
  end
  return cause
end

-- What is said of a settlement beside its task and its epoch.
local function read_settlement(said)
  local s = { spawn = {} }
  local has_output, has_attempt, spawned
  s.cause, s.delay, s.failures, s.losses, s.number, has_output, has_attempt, spawned =
    unpacked('>BI6I4I4I4BBI4', said)
  s.output = has_output == 1 and arg() or nil
  s.attempt = has_attempt == 1 and arg() or nil
  for k = 1, spawned do
    s.spawn[k] = spec_of(arg(), arg(), arg())
  end
  return s
end

-- A settlement is its task, its epoch, packed, and what is said: of a success, which most are, only its
-- budgets and its output.
local function settle_all(size)
  local ids, epochs, said, outputs = {}, {}, {}, {}
  for n = 1, size do
    ids[n], epochs[n] = ARGV[at + 1], ARGV[at + 2]
    local what = ARGV[at + 3]
    at = at + 3
    if #what == 8 then
      at = at + 1
      outputs[n] = ARGV[at]
    else
      what = read_settlement(what)
    end
    said[n] = what
  end
  local serials = fetch(K .. 'ids', ids)
  local known = {}
  for n = 1, size do
    known[#known + 1] = serials[n] or nil
  end
  local found = fetch(K .. 't', known)
  for n = 1, #known do
    raws[known[n]] = found[n]
  end
  local settled = {}
  for n = 1, size do
    local serial = serials[n]
    local raw, output = serial and raws[serial], outputs[n]
    settled[n] = '\0'
    if output and raw and not tasks[serial] and is_plain(raw) then
      if byte(raw, 1) == RUNNING and sub(raw, 8, 14) == epochs[n] then
        complete_plain(serial, raw, output, said[n])
        settled[n] = '\2'
      end
    elseif serial then
      local t = load(serial)
      if t and t.state == RUNNING and t.epoch == unpacked('>I7', epochs[n]) then
        local s = said[n]
        if output then
          s = { cause = COMPLETE, delay = 0, output = output, spawn = {} }
          s.failures, s.losses = unpacked('>I4I4', said[n])
        end
        settled[n] = string.char(settle(t, s))
      end
    end
  end
  write_plain()
  return table.concat(settled)
end

local function promote()
  local due = call('ZRANGEBYSCORE', K .. 'timed', '-inf', now, 'LIMIT', 0, 1000)
  local serials = {}
  for n, name in ipairs(due) do
    serials[n] = sub(name, -16)
  end
  prefetch(serials)
  for _, serial in ipairs(serials) do
    local t = load(serial)
    unplace(t)
    place(t)
  end
end

local function expire(max, ended)
  local serials = call('ZRANGEBYSCORE', K .. 'x', '-inf', now, 'LIMIT', 0, max)
  prefetch(serials)
  for _, serial in ipairs(serials) do
    local t = load(serial)
    ended[#ended + 1] = t.id
    expire_one(t)
  end
end

local function wants_of(size)
  local wants = {}
  for n = 1, size do
    local want = { name = arg(), queue = arg(), left = tonumber(arg()), total = tonumber(arg()),
      per_group = tonumber(arg()) }
    local key = arg()
    if key ~= '' then
      want.rate = { key = key, by_group = arg() == '1', interval = tonumber(arg()), burst = tonumber(arg()) }
    end
    wants[n] = want
  end
  return wants
end

local function advance()
  local size = tonumber(arg())
  local settled, ended = '', {}
  if size > 0 then
    settled = settle_all(size)
    flush()
  end
  promote()
  flush()
  expire(500, ended)
  flush()
  cascade(1000 - #ended, ended)
  flush()
  local max = tonumber(arg())
  local claimed = claim(owner, max, wants_of(tonumber(arg())), ended)
  raws = {}
  flush()
  call('ZREMRANGEBYSCORE', K .. 'rates', '-inf', '(' .. digits(now * 1000))
  local timed = tonumber(call('ZRANGE', K .. 'timed', 0, 0, 'WITHSCORES')[2] or -1)
  local expires = tonumber(call('ZRANGE', K .. 'x', 0, 0, 'WITHSCORES')[2] or -1)
  local more = call('EXISTS', K .. 'cascades') == 1 or timed >= 0 and timed <= now or expires >= 0 and expires <= now
  local next_at = -1
  for _, time_at in ipairs({ timed, expires, claimed.reopens or -1 }) do
    if time_at >= 0 and (next_at < 0 or time_at < next_at) then
      next_at = time_at
    end
  end
  more = more and 1 or 0
  local kept = { turn_no, now, settled, table.concat(claimed.serials), claimed.first, ended, more, next_at }
  call('SET', K .. 'last:' .. node, cmsgpack.pack(kept), 'PX', ARGV[7])
  if size > 0 or #ended > 0 then
    redis.pcall('PUBLISH', K .. 'wake', '')
  end
  return { now, settled, ended, more, next_at, claimed.raws, fetch(K .. 'spec', claimed.serials), claimed.lists }
end

return advance()

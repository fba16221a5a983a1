-- advance: settle, promote, expire, cascade, claim, in that order and in one step.
-- ARGV: the clock; what is said of expired attempts; the node, its host, its process, its turn; how long the
-- answer is kept; the lanes of spawned tasks; the settlements; the claims.
local _, node, host, pid, turn_no, kept_for = arg(), arg(), arg(), arg(), tonumber(arg()), arg()

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
        if raw and byte(raw, 1) == RUNNING and unpacked('>I7', raw, EPOCH_AT) == kept[5] + n - 1 then
          still[#still + 1], raw_texts[#raw_texts + 1] = serials[n], raw
          if bit.band(byte(raw, 3), AWAITS) ~= 0 then
            lists[#lists + 1] = #still
            lists[#lists + 1] = call('HGET', K .. 'bl', serials[n])
          end
        end
      end
      return { kept[2], kept[3], kept[6], kept[7], kept[8], raw_texts, fetch(K .. 'spec', still), lists, table.concat(still) }
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

read_lanes()

local function is_plain(raw)
  local high, low = byte(raw, -2, -1)
  return high == 0 and low == 0 and bit.band(byte(raw, 3), TAKEN + STOPS) == 0
end

-- Successes of tasks without a key: most ends.
local plain = { tasks = {}, outputs = {}, runs = {}, heads = {}, sizes = {}, bytes = 0, size = 0 }
local move, moved_all = marker({ ['v' .. RUNS] = -1, ['v' .. (COMPLETED + 3)] = 1 })

-- `budgets` are the failures and losses as they stand in a packed task.
local function complete_plain(serial, raw, output, budgets)
  local flags, run = byte(raw, 3), sub(raw, OWNER_AT, EPOCH_AT - 1)
  local bytes = unpacked('>I5', raw, 69) + #output
  if bit.band(flags, AWAITED) ~= 0 then
    flags = flags - AWAITED
    ties.pass_on(serial)
  end
  local head = plain.heads[flags]
  if not head then
    head = pack('>BBBI4', COMPLETED, COMPLETE, bit.bor(flags, ANSWERED), 0)
    plain.heads[flags] = head
  end
  local size = plain.sizes[bytes]
  if not size then
    size = NOW .. NEVER .. pack('>I5', bytes)
    plain.sizes[bytes] = size
  end
  local n = plain.size + 1
  local new = head .. sub(raw, LANE_AT, 56) .. size .. budgets .. sub(raw, 82)
  raws[serial] = new
  plain.size, plain.bytes = n, plain.bytes + bytes
  plain.tasks[2 * n - 1], plain.tasks[2 * n] = serial, new
  plain.outputs[2 * n - 1], plain.outputs[2 * n] = serial, output
  plain.runs[run] = (plain.runs[run] or 0) + 1
  table.insert(filed[COMPLETED], serial)
  move(serial)
  if byte(raw, 90) > 0 then
    local kind = lane_of(unpacked('>I4', raw, LANE_AT)).kind
    add(sums.rg, kind .. ':' .. sub(raw, 91, 90 + byte(raw, 90)), -1)
  end
end

local function write_plain()
  each('HSET', K .. 't', plain.tasks)
  each('HSET', K .. 'out', plain.outputs)
  for run, size in pairs(plain.runs) do
    local by, lane = unpacked('>I4I4', run)
    add(sums.n, lane .. ':' .. RUNS, -size)
    add(sums.n, lane .. ':' .. (COMPLETED + 3), size)
    add(sums.rk, lane_of(lane).kind, -size)
    add(sums.rn, digits(by), -size)
  end
  moved_all()
  if plain.bytes > 0 then
    count('bytes:2', plain.bytes)
  end
end

-- A settlement is its task, its epoch, packed, and what is said: of a success, which most are, only its
-- budgets and its output. The task is a serial, or, after a zero, an id.
local function settle_all(size)
  local serials, epochs, said, outputs = {}, {}, {}, {}
  local known = {}
  for n = 1, size do
    local task = ARGV[at + 1]
    serials[n] = byte(task, 1) ~= 0 and task or find(sub(task, 2))
    known[#known + 1] = serials[n] or nil
    epochs[n] = ARGV[at + 2]
    local what = ARGV[at + 3]
    at = at + 3
    if #what == 8 then
      at = at + 1
      outputs[n] = ARGV[at]
    else
      what = rare().read_settlement(what)
    end
    said[n] = what
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
      if byte(raw, 1) == RUNNING and sub(raw, EPOCH_AT, 18) == epochs[n] then
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
        settled[n] = string.char(rare().settle(t, s))
      end
    end
  end
  write_plain()
  ties.tell_told()
  return table.concat(settled)
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
  local due = call('ZRANGEBYSCORE', K .. 'timed', '-inf', now, 'LIMIT', 0, 1000)
  if #due > 0 then
    rare().promote(due)
    flush()
  end
  local expired = call('ZRANGEBYSCORE', K .. 'x', '-inf', now, 'LIMIT', 0, 500)
  if #expired > 0 then
    rare().expire(expired, ended)
    flush()
  end
  if #ended + told_size < 1000 and call('EXISTS', K .. 'cascades') == 1 then
    rare().cascade(1000 - #ended - told_size, ended)
    flush()
  end
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
  local serials = table.concat(claimed.serials)
  local kept = { turn_no, now, settled, serials, claimed.first, ended, more, next_at }
  call('SET', K .. 'last:' .. node, cmsgpack.pack(kept), 'PX', kept_for)
  if size > 0 or #ended > 0 then
    tell()
  end
  return { now, settled, ended, more, next_at, claimed.raws, fetch(K .. 'spec', claimed.serials), claimed.lists,
    serials }
end

return advance()

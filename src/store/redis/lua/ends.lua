-- How tasks end, and what their end does to unique keys and to the tasks that wait for them.
--
-- A row of a key names its holder (a serial), the running task that the next holder waits for, and the latest
-- holder, which a throttle gives back even when it has ended (both ids).
local SUPERSEDED = 'superseded'
local UNDONE = 'a task that it waits for did not complete'
local ROW = '>Bc0Bc0Bc0I6I6'
-- What the caller says about an attempt that was not started in time.
local EXPIRED

local function row_of(key)
  local text = look('key', key)
  if not text then
    return nil
  end
  local row = {}
  row.holder, row.after, row.last, row.quiet_until, row.first_at = unpacked(ROW, text)
  return row
end

local function set_row(key, row)
  put('key', key, pack(ROW, #row.holder, row.holder, #row.after, row.after, #row.last, row.last,
    row.quiet_until, row.first_at))
end

-- A task has ended: it holds its key no more, and nobody waits for it there.
local function free_key(t)
  local row = t.key ~= '' and row_of(t.key)
  if not row then
    return
  end
  if row.holder == t.serial then
    row.holder = ''
  end
  if row.after == t.id then
    row.after = ''
  end
  if row.holder ~= '' or row.after ~= '' then
    set_row(t.key, row)
  elseif row.quiet_until <= now then
    put('key', t.key, false)
  else
    set_row(t.key, row)
    rank(K .. 'quiet', t.key, row.quiet_until)
  end
end

-- Gives the key of a task to it; answers whose end it has to wait for. Only a push, which knows the time of
-- its throttle, makes others wait.
local function take_key(t, throttle)
  if t.key == '' then
    return nil
  end
  local row = row_of(t.key)
  local quiet_until = 0
  if throttle then
    quiet_until = now + throttle
  elseif row and row.last == t.id then
    quiet_until = row.quiet_until
  end
  local after = row and row.after or ''
  set_row(t.key, { holder = t.serial, after = after, last = t.id, quiet_until = math.min(quiet_until, 2 ^ 48 - 1),
    first_at = now })
  return after ~= '' and after or nil
end

-- Takes the key from a running task, which goes back to no queue.
local function supersede(t)
  flag(t, TAKEN, true)
  local row = row_of(t.key)
  row.holder, row.after = '', t.id
  set_row(t.key, row)
  change(t)
end

-- The node with this number, by name.
local owners = {}

local function owner_of(number)
  if not owners[number] then
    owners[number] = call('HGET', K .. 'nn', number) or ''
  end
  return owners[number]
end

-- Takes a running task from its node.
local function let_go(t)
  local kind = lane_of(t.lane).kind
  tally(t.lane, RUNS, t.serial, -1)
  add(sums.rk, kind, -1)
  if t.group ~= '' then
    add(sums.rg, kind .. ':' .. t.group, -1)
  end
  add(sums.rn, digits(t.owner), -1)
  if has(t, STOPS) then
    put('stop:' .. owner_of(t.owner), digits(t.epoch), false)
  end
  t.owner = 0
  change(t)
end

local STATE_BY = {
  [COMPLETE] = COMPLETED, [FAIL] = FAILED, [POISON] = FAILED, [EXPIRE] = FAILED,
  [CANCEL] = CANCELLED, [SUPERSEDE] = CANCELLED, [BLOCK] = CANCELLED,
}

-- Ends a task that no index holds any more: tells its dependents, files it, frees its key.
local function finish(t, cause)
  t.state, t.cause, t.finished, t.blockers = STATE_BY[cause], cause, now, 0
  if has(t, AWAITED) then
    ties.hand_down(t.serial, t.state == COMPLETED)
    flag(t, AWAITED, false)
  end
  table.insert(filed[t.state], t.serial)
  count('bytes:' .. t.state, t.bytes)
  tally(t.lane, t.state + 3, t.serial, 1)
  free_key(t)
  change(t)
end

-- Takes an ended task out of the midst of its file.
local function strike(t)
  unfiled[t.state] = unfiled[t.state] or {}
  table.insert(unfiled[t.state], t.serial)
end

-- Counts an ended task as one no more.
local function unfile(t)
  count('bytes:' .. t.state, -t.bytes)
  tally(t.lane, t.state + 3, t.serial, -1)
end

-- Notes of tasks stand apart, and few tasks have any.
local noted

local function drop_notes(t)
  if noted == nil then
    noted = call('EXISTS', K .. 'noted') == 1
  end
  if noted and call('HGET', K .. 'noted', t.serial) then
    call('UNLINK', K .. 'steps:' .. t.serial, K .. 'log:' .. t.serial)
    call('HDEL', K .. 'progress', t.serial)
    call('HDEL', K .. 'noted', t.serial)
  end
end

-- Forgets an ended task that is in its file no more.
local forgotten_lanes = {}

local function forget(t)
  unfile(t)
  put('ids', t.id, false)
  put('spec', t.serial, false)
  if has(t, STOPS) then put('why', t.serial, false) end
  if has(t, AWAITS) then put('bl', t.serial, false) end
  if has(t, TRIED) then put('at', t.serial, false) end
  if has(t, ANSWERED) then put('out', t.serial, false) end
  mark('a', t.serial, -1)
  mark('l' .. t.lane, t.serial, -1)
  if t.group ~= '' then
    mark('g' .. t.group, t.serial, -1)
  end
  if t.flow ~= '' then
    mark('f' .. t.flow, t.serial, -1)
  end
  drop_notes(t)
  forgotten_lanes[t.lane] = true
  t.gone = true
end

-- Forgets lanes that have lost their last task; after `flush`.
local function forget_lanes()
  for lane in pairs(forgotten_lanes) do
    if call('EXISTS', K .. 'j:l' .. lane) == 0 then
      local gone = lane_of(lane)
      call('HDEL', K .. 'lanes', pack('>Bc0Bc0', #gone.queue, gone.queue, #gone.name, gone.name))
      call('HDEL', K .. 'ln', lane)
      call('HDEL', KEYS[1], 't' .. lane)
      call('HDEL', K .. 'k:' .. gone.kind, lane)
      if call('EXISTS', K .. 'k:' .. gone.kind) == 0 then
        call('HDEL', K .. 'kinds', gone.name)
      end
    end
  end
end

-- Failed attempts are frames: when, its number, and what the caller says about it; the newest 20 are kept.
local function note(t, number, text)
  local kept = has(t, TRIED) and look('at', t.serial) or ''
  local frames, at = 0, 1
  local first
  while at <= #kept do
    local size = unpacked('>I4', kept, at + 10)
    at = at + 14 + size
    first = first or at
    frames = frames + 1
  end
  if frames >= 20 then
    kept = sub(kept, first)
  end
  put('at', t.serial, kept .. pack('>I6I4I4', now, number, #text) .. text)
  flag(t, TRIED, true)
end

local function expire_one(t)
  unplace(t)
  t.expires = 0
  note(t, t.failures + 1, EXPIRED)
  finish(t, EXPIRE)
end

-- Tells up to `max` dependents of ended tasks.
local function cascade(max, ended)
  while max > 0 do
    local entry = call('LINDEX', K .. 'cascades', 0)
    if not entry then
      return
    end
    local number, completed = string.match(entry, '^(%d+):(%d)$')
    local edges = call('LPOP', K .. 'c:' .. number, max) or {}
    if #edges < max then
      call('LPOP', K .. 'cascades')
    end
    local serials = {}
    for at, edge in ipairs(edges) do
      serials[at] = sub(edge, 1, 16)
    end
    prefetch(serials)
    local writes = {}
    for at, edge in ipairs(edges) do
      local wait = sub(edge, 18)
      local may_run = completed == '1' or sub(edge, 17, 17) == '1'
      local raw, is_all = nil, false
      if may_run then
        raw, is_all = ties.released(serials[at], wait, 1)
      end
      local t = not raw and not is_all and load(serials[at])
      if raw then
        writes[#writes + 1], writes[#writes + 2] = serials[at], raw
      elseif t and not t.gone and t.wait == unpacked('>I7', wait) and t.state == WAITING then
        unplace(t)
        if may_run then
          t.blockers = t.blockers - 1
          place(t)
        else
          stop_for(t, UNDONE)
          ended[#ended + 1] = t.id
          finish(t, BLOCK)
        end
      end
    end
    each('HSET', K .. 't', writes)
    max = max - #edges
  end
end

-- A list of blockers: whether their failure is forgiven, and their ids.
local function blockers_text(run_anyway, ids)
  local parts = { pack('>BI4', run_anyway and 1 or 0, #ids) }
  for at, id in ipairs(ids) do
    parts[at + 1] = pack('>Bc0', #id, id)
  end
  return table.concat(parts)
end

local function blockers_of(t)
  local ids = {}
  if not has(t, AWAITS) then
    return ids, false
  end
  local text = look('bl', t.serial)
  local run_anyway, size, at = unpacked('>BI4', text)
  for n = 1, size do
    ids[n], at = unpacked('>Bc0', text, at)
  end
  return ids, run_anyway == 1
end

-- Lets a waiting task wait for its blockers, and for the task whose key it has taken (`follows`). Blockers
-- that have failed already cancel it, where it says so, unless they are forgiven.
local function tie(t, follows, forgiven)
  if t.state ~= WAITING then
    return
  end
  local ids, run_anyway = blockers_of(t)
  local all = {}
  for _, id in ipairs(ids) do
    all[#all + 1] = { id, run_anyway }
    if id == follows then
      follows = nil
    end
  end
  if follows then
    all[#all + 1] = { follows, true }
  end
  unplace(t)
  local failed = false
  for _, to in ipairs(all) do
    local serial = find(to[1])
    local blocker = serial and load(serial)
    if blocker and not blocker.gone then
      if blocker.state == WAITING or blocker.state == RUNNING then
        ties.hang(blocker.serial, ties.edge_of(t.serial, t.wait, to[2]))
        flag(blocker, AWAITED, true)
        change(blocker)
        t.blockers = t.blockers + 1
      elseif blocker.state ~= COMPLETED and not to[2] then
        failed = true
      end
    end
  end
  if failed and not forgiven then
    stop_for(t, UNDONE)
    finish(t, BLOCK)
  else
    place(t)
  end
end

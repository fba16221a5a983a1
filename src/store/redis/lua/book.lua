-- What every script shares: the tasks as packed text, and every index over them.
--
-- Changes gather in tables and `flush` writes them. Nothing that a caller can get wrong is found out after
-- the first write: a Lua error does not undo what was written before it.
--
-- A serial has 16 digits, so that texts sort like numbers; its first 14 name its chunk of 100 tasks. A task
-- stands in a sorted set as its place, followed by its serial where the two differ.

local function digits(number)
  return string.format('%.0f', number)
end

-- The same for numbers in a row, which share all but two digits: writing a number is slow.
local row, row_prefix, endings = nil, nil, {}

local function in_row(number)
  local last = number % 100
  if number - last ~= row then
    row = number - last
    row_prefix = digits(row / 100)
  end
  local ending = endings[last]
  if not ending then
    ending = string.format('%02d', last)
    endings[last] = ending
  end
  return row_prefix .. ending
end

-- Redis takes the arguments from Lua's stack, which holds about 8000.
local function each(command, key, list)
  for from = 1, #list, 2000 do
    call(command, key, unpack(list, from, math.min(from + 1999, #list)))
  end
end

local function fetch(key, fields)
  if #fields > 0 and #fields <= 1000 then
    return call('HMGET', key, unpack(fields))
  end
  local values = {}
  for from = 1, #fields, 1000 do
    local part = call('HMGET', key, unpack(fields, from, math.min(from + 999, #fields)))
    for at = 1, #part do
      values[from + at - 1] = part[at]
    end
  end
  return values
end

-- Numbers of the namespace and of its lanes, read once and written by `flush`. Places and turns begin where
-- they have 16 digits, epochs and ends where they have more than two.
local counters, moved = {}, {}

local function counter(name)
  if not counters[name] then
    local first = (name == 'place' or sub(name, 1, 1) == 't') and 1e15 or (name == 'epoch' or name == 'end') and 1000 or 0
    counters[name] = tonumber(call('HGET', KEYS[1], name) or first)
  end
  return counters[name]
end

local function set_counter(name, value)
  counters[name], moved[name] = value, true
  return value
end

local function count(name, by)
  return set_counter(name, counter(name) + by)
end

-- Sums that are only ever added to: written with HINCRBY, never read here.
local sums = { n = {}, rk = {}, rg = {}, rn = {} }

local function add(map, key, by)
  map[key] = (map[key] or 0) + by
end

-- Which chunks hold tasks of a kind of list, and how many.
local marks = {}

local function marks_of(list)
  marks[list] = marks[list] or {}
  return marks[list]
end

local function mark(list, serial, by)
  add(marks_of(list), sub(serial, 1, 14), by)
end

-- The same for one task after the other, where neighbours mostly share a chunk: `changes` has the lists, and
-- what each task adds there.
local function marker(changes)
  local chunk, size = nil, 0
  local function finish()
    for list, by in pairs(size > 0 and changes or {}) do
      add(marks_of(list), chunk, by * size)
    end
    size = 0
  end
  local function one(serial)
    local next_chunk = sub(serial, 1, 14)
    if next_chunk ~= chunk then
      finish()
      chunk = next_chunk
    end
    size = size + 1
  end
  return one, finish
end

local function tally(lane, view, serial, by)
  add(sums.n, lane .. ':' .. view, by)
  mark('v' .. view, serial, by)
end

-- Sorted sets: by key and member the new score, or false.
local ranked = {}

local function rank(key, member, score)
  local members = ranked[key]
  if not members then
    members = {}
    ranked[key] = members
  end
  members[member] = score
end

-- Fields of hashes: by key and field the new value, or false.
local fields = {}

local function put(key, field, value)
  local values = fields[key]
  if not values then
    values = {}
    fields[key] = values
  end
  values[field] = value
end

local function look(key, field)
  local values = fields[key]
  if values and values[field] ~= nil then
    return values[field]
  end
  return call('HGET', K .. key, field)
end

-- Tasks: as packed text, and those that a script looks into as tables.
local raws, tasks = {}, {}

local function prefetch(serials)
  local wanted = {}
  for _, serial in ipairs(serials) do
    if raws[serial] == nil then
      wanted[#wanted + 1] = serial
    end
  end
  local found = fetch(K .. 't', wanted)
  for at, serial in ipairs(wanted) do
    raws[serial] = found[at]
  end
end

local function load(serial)
  local task = tasks[serial]
  if task then
    return task
  end
  local raw = raws[serial]
  if raw == nil then
    raw = call('HGET', K .. 't', serial)
  end
  if not raw then
    return nil
  end
  local t = { serial = serial }
  t.state, t.cause, t.flags, t.owner, t.lane, t.epoch, t.started, t.first, t.place, t.wait, t.created, t.run_at,
    t.finished, t.expires, t.bytes, t.failures, t.losses, t.blockers, t.priority, t.group, t.id, t.flow, t.key =
    unpacked(FORM, raw)
  tasks[serial] = t
  return t
end

local function packed(t)
  return pack(FORM, t.state, t.cause, t.flags, t.owner, t.lane, t.epoch, t.started, t.first, t.place, t.wait,
    t.created, t.run_at, t.finished, t.expires, t.bytes, t.failures, t.losses, t.blockers, t.priority,
    #t.group, t.group, #t.id, t.id, #t.flow, t.flow, #t.key, t.key)
end

local function has(t, flag)
  return bit.band(t.flags, flag) ~= 0
end

local function flag(t, which, on)
  t.flags = on and bit.bor(t.flags, which) or bit.band(t.flags, bit.bnot(which))
end

-- The workflow of a packed task, or of the tail of one, whose group begins at `at`.
local function flow_of(raw, at)
  at = at + 1 + byte(raw, at)
  at = at + 1 + byte(raw, at)
  return sub(raw, at + 1, at + byte(raw, at))
end

local function change(t)
  t.changed = true
end

-- Serials by id, as far as they are known; false for an id of nobody.
local known_serials = {}

local function ask_for(ids)
  for at, serial in ipairs(fetch(K .. 'ids', ids)) do
    known_serials[ids[at]] = serial
  end
end

local function find(id)
  local made = fields.ids and fields.ids[id]
  if made ~= nil then
    return made
  end
  if known_serials[id] == nil then
    known_serials[id] = call('HGET', K .. 'ids', id)
  end
  return known_serials[id]
end

local function member(t)
  local place = digits(t.place)
  return place == t.serial and place or place .. t.serial
end

local function backlog(lane, group)
  return K .. 'b:' .. lane .. ':' .. group
end

-- What a lane is: its kind, its queue and the name of its kind.
local lanes = {}

local function lane_of(lane)
  if not lanes[lane] then
    local kind, queue, name = unpacked('>I4Bc0Bc0', call('HGET', K .. 'ln', lane))
    lanes[lane] = { kind = digits(kind), queue = queue, name = name }
  end
  return lanes[lane]
end

-- The best task of each group of a lane, and only that one, stands in the lane's order: by priority, then by
-- the turn of its group, then by place. A new head stands one turn behind the lane's latest claim; a task
-- that takes the place of the head takes over its turn.
local touched = {}

local function refresh(lane, group)
  local order, heads = K .. 'o:' .. lane, K .. 'h:' .. lane
  local best = call('ZRANGE', backlog(lane, group), 0, 0, 'WITHSCORES')
  local old = call('HGET', heads, group)
  if not best[1] then
    if old then
      call('ZREM', order, old)
      call('HDEL', heads, group)
    end
    return
  end
  local turn = old and sub(old, 1, 16) or digits(counter('t' .. lane) + 1)
  local new = turn .. best[1] .. ':' .. group
  if old and old ~= new then
    call('ZREM', order, old)
  end
  if old ~= new then
    call('HSET', heads, group, new)
  end
  call('ZADD', order, best[2], new)
end

local function touch(lane, group)
  local groups = touched[lane]
  if not groups then
    groups = {}
    touched[lane] = groups
  end
  groups[group] = true
end

local function flush_tasks()
  for serial, t in pairs(tasks) do
    if t.gone then
      put('t', serial, false)
    elseif t.changed then
      put('t', serial, packed(t))
    end
  end
  tasks, raws = {}, {}
end

local function flush_fields()
  for key, values in pairs(fields) do
    local set, gone = {}, {}
    for field, value in pairs(values) do
      if value then
        set[#set + 1], set[#set + 2] = field, value
      else
        gone[#gone + 1] = field
      end
    end
    each('HDEL', K .. key, gone)
    each('HSET', K .. key, set)
  end
  for id, serial in pairs(fields.ids or {}) do
    known_serials[id] = serial
  end
  fields = {}
end

local function flush_ranked()
  for key, members in pairs(ranked) do
    local set, gone = {}, {}
    for name, score in pairs(members) do
      if score then
        set[#set + 1], set[#set + 2] = score, name
      else
        gone[#gone + 1] = name
      end
    end
    each('ZREM', key, gone)
    each('ZADD', key, set)
  end
  ranked = {}
  for lane, groups in pairs(touched) do
    for group in pairs(groups) do
      refresh(lane, group)
    end
  end
  touched = {}
end

-- Ended tasks by state, oldest first: lists, since they only grow at one end and shrink at the other. What is
-- taken out elsewhere is counted under `gone`, and leaves the list when it has come to its beginning.
local filed = { [COMPLETED] = {}, [FAILED] = {}, [CANCELLED] = {} }
local unfiled = {}

-- One entry of what has gone has left the list.
local function forget_gone(state, serial)
  if call('HINCRBY', K .. 'gone:' .. state, serial, -1) == 0 then
    call('HDEL', K .. 'gone:' .. state, serial)
  end
  count('gone:' .. state, -1)
end

local function trim(state)
  for _ = 1, 1000 do
    local serial = call('LINDEX', K .. 'e:' .. state, 0)
    if not serial or not call('HGET', K .. 'gone:' .. state, serial) then
      return
    end
    call('LPOP', K .. 'e:' .. state)
    forget_gone(state, serial)
  end
end

local function flush_filed()
  for state, serials in pairs(filed) do
    if #serials > 0 then
      for from = 1, #serials, 2000 do
        call('RPUSH', K .. 'e:' .. state, unpack(serials, from, math.min(from + 1999, #serials)))
      end
      filed[state] = {}
    end
  end
  for state, serials in pairs(unfiled) do
    for _, serial in ipairs(serials) do
      call('HINCRBY', K .. 'gone:' .. state, serial, 1)
    end
    count('gone:' .. state, #serials)
    trim(state)
  end
  unfiled = {}
end

local function flush_marks()
  for list, chunks in pairs(marks) do
    for chunk, by in pairs(chunks) do
      if by ~= 0 then
        local left = call('HINCRBY', K .. 'j:' .. list, chunk, by)
        if left == 0 then
          call('HDEL', K .. 'j:' .. list, chunk)
          call('ZREM', K .. 'i:' .. list, chunk)
        elseif left == by then
          call('ZADD', K .. 'i:' .. list, chunk, chunk)
        end
      end
    end
  end
  marks = {}
end

-- Those that wait for a task, by its serial, that its list does not have yet.
local hung = {}

local function flush_edges()
  for serial, list in pairs(hung) do
    each('RPUSH', K .. 'd:' .. serial, list)
  end
  hung = {}
end

local function flush()
  flush_edges()
  flush_tasks()
  flush_fields()
  flush_ranked()
  flush_filed()
  flush_marks()
  for key, map in pairs(sums) do
    for field, by in pairs(map) do
      if by ~= 0 and call('HINCRBY', K .. key, field, by) == 0 then
        call('HDEL', K .. key, field)
      end
    end
    sums[key] = {}
  end
  local set = {}
  for name in pairs(moved) do
    set[#set + 1], set[#set + 2] = name, digits(counters[name])
  end
  each('HSET', KEYS[1], set)
  moved = {}
end

-- Puts a waiting task where it belongs.
local function place(t)
  local view = READY
  flag(t, TIMED, false)
  if t.blockers > 0 then
    view = BLOCKED
  elseif t.run_at > now then
    view = SCHEDULED
    flag(t, TIMED, true)
    rank(K .. 'timed', member(t), t.run_at)
  else
    rank(backlog(t.lane, t.group), member(t), -t.priority)
    touch(t.lane, t.group)
  end
  tally(t.lane, view, t.serial, 1)
  count('w', 1)
  if t.expires > 0 then
    rank(K .. 'x', t.serial, t.expires)
  end
  change(t)
end

-- Takes a waiting task from where it stands; one of this push may stand nowhere yet.
local function unplace(t)
  if t.apart then
    t.apart = nil
    return
  end
  local view = READY
  if t.blockers > 0 then
    view = BLOCKED
  elseif has(t, TIMED) then
    view = SCHEDULED
    rank(K .. 'timed', member(t), false)
  else
    rank(backlog(t.lane, t.group), member(t), false)
    touch(t.lane, t.group)
  end
  tally(t.lane, view, t.serial, -1)
  count('w', -1)
  if t.expires > 0 then
    rank(K .. 'x', t.serial, false)
  end
  change(t)
end

local function stop_for(t, reason)
  flag(t, STOPS, true)
  put('why', t.serial, reason)
  change(t)
end

-- Other processes should look; the one that calls knows what it has done.
local function tell()
  redis.pcall('PUBLISH', K .. 'wake', sender)
end

-- push: adds tasks, each push all or nothing.
-- ARGV: the clock; the lanes; then for every push its size, its bound, its guard, and its specs.
local at = 1

local function arg()
  at = at + 1
  return ARGV[at]
end

for number = 1, tonumber(arg()) do
  wanted[number] = { arg(), arg() }
end

-- Two digits for every place in a chunk: numbers are slow to write.
local function endings()
  local list = {}
  for n = 0, 99 do
    list[n] = string.format('%02d', n)
  end
  return list
end

-- Tasks that nothing can refuse and that stand for no other: most pushes. Answers which were there.
local function add_plain(size)
  local ids, tails, texts, heads, known_ids = {}, {}, {}, {}, {}
  for n = 1, size do
    local meta, tail = arg(), nil
    texts[n] = arg()
    local _, when, time, lane
    _, when, time, lane, tail = unpacked(META, meta)
    heads[n] = { when, time, lane }
    tails[n] = sub(meta, tail)
    local length = byte(meta, tail + 33)
    ids[n] = sub(meta, tail + 34, tail + 33 + length)
  end
  local serials = fetch(K .. 'ids', ids)
  local first = counter('place')
  local list = size >= 50 and endings()
  local made, by_id, by_serial, specs, ready = 0, {}, {}, {}, {}
  local chunk, prefix = -1, nil
  for n = 1, size do
    local id = ids[n]
    if serials[n] or known_ids[id] then
      known_ids[id] = true
    else
      known_ids[id] = true
      made = made + 1
      local place_no = first + made
      local in_chunk = math.floor(place_no / 100)
      if in_chunk ~= chunk then
        chunk, prefix = in_chunk, digits(in_chunk)
      end
      local serial = prefix .. (list and list[place_no % 100] or string.format('%02d', place_no % 100))
      local head, tail = heads[n], tails[n]
      local lane = lane_for(head[3])
      local run_at = now
      if head[1] == AFTER then
        run_at = math.min(now + head[2], 2 ^ 48 - 1)
      elseif head[1] ~= AT_ONCE then
        run_at = head[2]
      end
      local timed = run_at > now
      local _, expires, _, _, _, _, priority = unpacked('>I6I6I5I4I4I4i4', tail)
      local length = byte(tail, 34)
      local group = byte(tail, 35 + length) > 0 and sub(tail, 36 + length, 35 + length + byte(tail, 35 + length)) or ''
      by_id[2 * made - 1], by_id[2 * made] = id, serial
      specs[2 * made - 1], specs[2 * made] = serial, texts[n]
      by_serial[2 * made - 1] = serial
      by_serial[2 * made] = pack('>BBBI4I7I6I6I7I7I6I6I4', WAITING, 0, timed and TIMED or 0, 0, 0, 0, 0, place_no,
        place_no, now, run_at, lane) .. tail
      if timed then
        rank(K .. 'timed', serial, run_at)
      else
        local key = backlog(lane, group)
        local queue = ready[key]
        if not queue then
          queue = {}
          ready[key] = queue
          touch(lane, group)
        end
        queue[#queue + 1], queue[#queue + 2] = -priority, serial
      end
      tally(lane, timed and SCHEDULED or READY, serial, 1)
      mark('a', serial, 1)
      mark('l' .. lane, serial, 1)
      if group ~= '' then
        mark('g' .. group, serial, 1)
      end
      if expires > 0 then
        rank(K .. 'x', serial, expires)
      end
    end
  end
  each('HSET', K .. 'ids', by_id)
  each('HSET', K .. 'spec', specs)
  each('HSET', K .. 't', by_serial)
  for key, queue in pairs(ready) do
    each('ZADD', key, queue)
  end
  count('place', made)
  count('w', made)
  flush()
  return 1
end

local function add(size, bound, guard)
  local specs = {}
  for n = 1, size do
    specs[n] = spec_of(arg(), arg())
  end
  if guard and not holds(guard.key, guard.old) then
    return { 'moved' }
  end
  local plan = plan_of(specs)
  if plan.refusal then
    return plan.refusal
  end
  for _, s in pairs(plan.fresh) do
    for _, id in ipairs(s.ids) do
      id = plan.found[id] or id
      if not plan.fresh[id] and not find(id) then
        return { 'unknown', id }
      end
    end
  end
  if bound and plan.growth > 0 and counter('w') + plan.growth > bound then
    return { 'full', counter('w'), bound }
  end
  resolve(specs, plan)
  local path = any_waits(specs) and circle(specs)
  if path then
    return { 'circle', path }
  end
  if guard then
    set_cell(guard.key, guard.new, guard.due)
  end
  local pushed = add_all(specs)
  flush()
  cascade(1000, {})
  flush()
  return pushed
end

local answers = {}
for n = 1, tonumber(arg()) do
  local size, bound = tonumber(arg()), tonumber(arg())
  local is_plain = arg() == '1'
  local guard
  if arg() == '1' then
    guard = { key = arg() }
    local has_old, old = arg() == '1', arg()
    local has_new, new = arg() == '1', arg()
    guard.old, guard.new, guard.due = has_old and old, has_new and new, tonumber(arg())
  end
  if is_plain and not (bound and counter('w') + size > bound) then
    answers[n] = add_plain(size)
  else
    answers[n] = add(size, bound, guard)
    tasks, raws = {}, {}
  end
end
redis.pcall('PUBLISH', K .. 'wake', '')
return answers

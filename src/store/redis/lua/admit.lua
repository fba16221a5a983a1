-- What becomes of pushed specs: a look at all of them first, then the tasks, in the order in which they came.
local MINTED, KEYED = 1, 2
local IGNORE, REPLACE, REFUSE = 0, 1, 2
local DEBOUNCE, THROTTLE = 1, 2
local TAIL = '>I6I6I5I4I4I4i4Bc0Bc0Bc0I2c0'

local function spec_of(head, tail, text)
  local s = { text = text, ids = {} }
  local at
  s.flags, s.when, s.time, s.lane, s.priority, at = unpacked(HOW, head)
  s.minted = s.flags % 2 == MINTED
  if bit.band(s.flags, KEYED) ~= 0 then
    s.conflict, s.quiet, s.quiet_for, s.quiet_max, at = unpacked('>BBI6I6', head, at)
  end
  if bit.band(s.flags, WAITS) ~= 0 then
    local run_anyway, size
    run_anyway, size, at = unpacked('>BI4', head, at)
    s.run_anyway = run_anyway == 1
    for n = 1, size do
      s.ids[n], at = unpacked('>Bc0', head, at)
    end
  end
  s.waits = bit.band(s.flags, WAITS) ~= 0
  local _
  _, s.expires, s.bytes, _, _, _, _, s.group, s.id, s.flow, s.key = unpacked(TAIL, tail)
  return s
end

local function input_of(text)
  return sub(text, 5 + unpacked('>I4', text))
end

-- What a push finds at its key. A throttle that is still quiet comes first, then a debounce, then what the
-- push says about conflicts.
local function meet(s)
  local row = row_of(s.key)
  if not row then
    return 'free'
  end
  if s.quiet == THROTTLE and row.quiet_until > now then
    return 'found', row.last
  end
  if row.holder == '' then
    return 'free'
  end
  local holder = load(row.holder)
  local waiting = holder.state == WAITING
  if s.quiet == DEBOUNCE then
    if waiting and holder.first == 0 then
      return 'slide', holder.id, holder
    end
  elseif s.conflict == REFUSE then
    return 'refused', holder.id
  elseif s.conflict == IGNORE then
    return 'found', holder.id
  end
  return waiting and 'oust' or 'follow', holder.id, holder
end

-- The same, where the holder has come in the same push.
local function meet_beside(holder, s)
  if holder.quiet == THROTTLE and holder.quiet_for > 0 and s.quiet == THROTTLE then
    return 'found', holder.id
  elseif s.quiet == DEBOUNCE then
    return 'slide', holder.id
  elseif s.conflict == IGNORE then
    return 'found', holder.id
  elseif s.conflict == REPLACE then
    return 'oust', holder.id
  end
  return 'refused', holder.id
end

local function plan_new(plan, s)
  if s.key ~= '' then
    local holder = plan.taken[s.key]
    local how, id
    if holder then
      how, id = meet_beside(holder, s)
    else
      how, id = meet(s)
    end
    if how == 'oust' then
      plan.growth = plan.growth - 1
    elseif how == 'found' or how == 'slide' or how == 'refused' then
      plan.found[s.id] = id
      if how == 'slide' then
        plan.slid[id] = true
      elseif how == 'refused' then
        plan.refusal = plan.refusal or { 'held', id }
      end
      return false
    end
    plan.taken[s.key] = s
  end
  plan.fresh[s.id] = s
  plan.growth = plan.growth + 1
  return true
end

local function plan_of(specs)
  local plan = { fresh = {}, found = {}, slid = {}, taken = {}, growth = 0 }
  for _, s in ipairs(specs) do
    local serial = find(s.id)
    local twin = plan.fresh[s.id]
    if serial or twin then
      s.makes = false
      if not s.minted and not plan.slid[s.id] and not (serial and has(load(serial), SLID)) then
        local other = serial and look('spec', serial) or twin.text
        if input_of(other) ~= input_of(s.text) then
          plan.refusal = plan.refusal or { 'taken', s.id }
        end
      end
    else
      s.makes = plan_new(plan, s)
    end
  end
  return plan
end

-- Lets blockers name the tasks that the specs of the same push stand for, each once. Specs that make no task
-- wait for nobody.
local function resolve(specs, plan)
  for _, s in ipairs(specs) do
    if s.waits and not s.makes then
      s.waits, s.ids = false, {}
    elseif s.waits then
      local seen, ids = {}, {}
      for _, id in ipairs(s.ids) do
        local real = plan.found[id] or id
        if not seen[real] then
          seen[real] = true
          ids[#ids + 1] = real
        end
      end
      s.ids = ids
    end
  end
end

-- A circle among the specs, as a path that ends where it began.
local function circle(specs)
  local at = {}
  for n = #specs, 1, -1 do
    at[specs[n].id] = n
  end
  local done, on_path = {}, {}
  for start = 1, #specs do
    local path = { { start, 1 } }
    while #path > 0 do
      local top = path[#path]
      local node = top[1]
      local id = not done[node] and specs[node].ids[top[2]]
      if not id then
        done[node], on_path[node] = true, nil
        path[#path] = nil
      else
        on_path[node] = #path
        top[2] = top[2] + 1
        local blocker = at[id]
        if blocker and on_path[blocker] then
          local ids = {}
          for n = on_path[blocker], #path do
            ids[#ids + 1] = specs[path[n][1]].id
          end
          ids[#ids + 1] = specs[blocker].id
          return ids
        elseif blocker and not done[blocker] then
          path[#path + 1] = { blocker, 1 }
        end
      end
    end
  end
  return nil
end

local function any_waits(specs)
  for _, s in ipairs(specs) do
    if s.waits then
      return true
    end
  end
  return false
end

-- A debounced push: the newest input wins, the start slides.
local function slide(holder, s)
  local row = row_of(s.key)
  unplace(holder)
  local text = look('spec', holder.serial)
  local input = input_of(s.text)
  local header = sub(text, 1, 4 + unpacked('>I4', text))
  put('spec', holder.serial, header .. input)
  holder.bytes = holder.bytes - (#text - #header) + #input
  flag(holder, SLID, true)
  holder.run_at = math.min(now + s.quiet_for, row.first_at + s.quiet_max, 2 ^ 48 - 1)
  place(holder)
end

local function make(s)
  local place_no = count('place', 1)
  local t = {
    serial = digits(place_no), state = WAITING, cause = 0, flags = 0, owner = 0, epoch = 0, started = 0, first = 0,
    place = place_no, wait = place_no, created = now, run_at = start_of(s.when, s.time),
    lane = lane_for(s.lane), finished = 0, expires = s.expires, bytes = s.bytes, failures = 0, losses = 0,
    blockers = 0, priority = s.priority, id = s.id, group = s.group, key = s.key,
    flow = s.flow,
  }
  tasks[t.serial] = t
  put('ids', t.id, t.serial)
  put('spec', t.serial, s.text)
  if s.waits then
    flag(t, AWAITS, true)
    put('bl', t.serial, blockers_text(s.run_anyway, s.ids))
  end
  mark('a', t.serial, 1)
  mark('l' .. t.lane, t.serial, 1)
  if t.group ~= '' then
    mark('g' .. t.group, t.serial, 1)
  end
  if t.flow ~= '' then
    mark('f' .. t.flow, t.serial, 1)
  end
  return t
end

-- Adds one task; answers the id that it stands for, whether it was made, and whom it cancelled.
local function add_one(s, late)
  local ousted
  if s.key ~= '' and not find(s.id) then
    local how, id, holder = meet(s)
    if how == 'found' or how == 'refused' then
      return { id, 0 }
    elseif how == 'slide' then
      slide(holder, s)
      return { id, 0 }
    elseif how == 'oust' then
      unplace(holder)
      stop_for(holder, SUPERSEDED)
      ousted = id
      finish(holder, SUPERSEDE)
    elseif how == 'follow' then
      supersede(holder)
    end
  end
  if find(s.id) then
    return { s.id, s.minted and 1 or 0 }
  end
  local t = make(s)
  local follows = take_key(t, s.quiet == THROTTLE and s.quiet_for or nil)
  if s.waits or follows then
    -- What it waits for may come later in this push: it is placed when it is tied.
    t.apart = true
    late[#late + 1] = { t, follows }
  else
    place(t)
  end
  return { s.id, 1, ousted }
end

local function add_all(specs)
  local late, pushed = {}, {}
  for at, s in ipairs(specs) do
    pushed[at] = add_one(s, late)
  end
  for _, tied in ipairs(late) do
    tie(tied[1], tied[2], false)
  end
  return pushed
end

-- Pushes what a completed run has spawned. It is past refusing: a conflict finds the task that is there, a
-- blocker that is gone is not waited for, and a circle is cut.
local function spawn(specs)
  resolve(specs, plan_of(specs))
  local path = any_waits(specs) and circle(specs)
  while path do
    for _, s in ipairs(specs) do
      if s.id == path[1] then
        for at, id in ipairs(s.ids) do
          if id == path[2] then
            table.remove(s.ids, at)
            break
          end
        end
        break
      end
    end
    path = circle(specs)
  end
  add_all(specs)
end

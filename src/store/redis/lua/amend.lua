-- amend: what operators change.
-- ARGV: the clock; the change; its value; the views that a task has to be in (empty: any); ids.
local asked, value, views = ARGV[2], ARGV[3], ARGV[4]
-- Operators can make room even where memory has run out: only the first write can be refused for that.
call('UNLINK', K .. 'scratch')

local function view_of(t)
  if t.state ~= WAITING then
    return t.state + 3
  end
  return t.blockers > 0 and BLOCKED or t.run_at > now and SCHEDULED or READY
end

local function key_is_free(t)
  local row = t.key ~= '' and row_of(t.key)
  return not row or row.holder == ''
end

local changed, stopping, ended, revived = {}, {}, {}, {}

local function cancel(t, reason)
  stop_for(t, reason)
  if t.state == RUNNING then
    put('stop:' .. owner_of(t.owner), digits(t.epoch), t.serial)
    stopping[#stopping + 1] = { t.id, digits(t.epoch) }
  else
    unplace(t)
    finish(t, CANCEL)
    ended[#ended + 1] = t.id
  end
end

local function rewrite(t, field, to)
  unplace(t)
  t[field] = to
  place(t)
end

-- Lets an ended task wait again, with fresh budgets and no last moment.
local function revive(t)
  strike(t)
  unfile(t)
  -- What was memoised is for the runs up to a success.
  if t.state == COMPLETED then
    call('UNLINK', K .. 'steps:' .. t.serial)
  end
  t.state, t.cause, t.expires, t.failures, t.losses, t.finished, t.first = WAITING, REVIVE, 0, 0, 0, 0, 0
  t.place = count('place', 1)
  t.wait = t.place
  t.run_at = now
  if has(t, STOPS) then
    put('why', t.serial, false)
  end
  if has(t, ANSWERED) then
    t.bytes = t.bytes - #(look('out', t.serial) or '')
    put('out', t.serial, false)
  end
  flag(t, STOPS + TAKEN + ANSWERED, false)
  revived[#revived + 1] = { t, take_key(t) }
  place(t)
end

local apply = {}

function apply.cancel(t)
  if t.state == WAITING or t.state == RUNNING and not has(t, STOPS) then
    cancel(t, value)
    return true
  end
end

-- Of a revival by id: tasks that stay undone, and with them what needs them.
local undone = {}

local function is_held_back(t)
  local ids, run_anyway = {}, true
  if next(undone) then
    ids, run_anyway = blockers_of(t)
  end
  for _, id in ipairs(run_anyway and {} or ids) do
    if undone[id] then
      return true
    end
  end
end

function apply.retry(t)
  if t.state > RUNNING and key_is_free(t) and not is_held_back(t) then
    revive(t)
    return true
  end
  undone[t.id] = value ~= '' and t.state > COMPLETED or nil
end

function apply.remove(t)
  if t.state == RUNNING then
    return false
  end
  if t.state == WAITING then
    cancel(t, 'removed')
  end
  strike(t)
  forget(t)
  return true
end

function apply.promote(t)
  if t.state == WAITING and t.run_at > now then
    rewrite(t, 'run_at', now)
    return true
  end
end

function apply.reschedule(t)
  if t.state == WAITING and t.run_at ~= tonumber(value) then
    rewrite(t, 'run_at', tonumber(value))
    return true
  end
end

function apply.prioritise(t)
  if t.state == WAITING and t.priority ~= tonumber(value) then
    rewrite(t, 'priority', tonumber(value))
    return true
  end
end

local ids = {}
for at = 5, #ARGV do
  ids[at - 4] = ARGV[at]
end
local serials = fetch(K .. 'ids', ids)
local known = {}
for n = 1, #ids do
  known[#known + 1] = serials[n] or nil
end
prefetch(known)
for n, id in ipairs(ids) do
  local t = serials[n] and load(serials[n])
  local fits = t and not t.gone and (views == '' or string.find(views, view_of(t), 1, true))
  if fits and apply[asked](t) then
    changed[#changed + 1] = id
  end
end
-- Only now, since a blocker may have been revived after what waits for it.
for _, one in ipairs(revived) do
  tie(one[1], one[2], true)
end
flush()
cascade(1000, ended)
flush()
forget_lanes()
if #changed > 0 then
  tell()
end
return { changed, stopping, ended }

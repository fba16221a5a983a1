-- Checks every index of a namespace against its tasks; answers what does not fit. Reads `book.lua`'s form.
local K = KEYS[1]
local wrong = {}
local function check(fine, what)
  if not fine and #wrong < 10 then
    wrong[#wrong + 1] = what
  end
end
local function pairs_of(key)
  local map, list = {}, redis.call('HGETALL', K .. key)
  for at = 1, #list, 2 do
    map[list[at]] = list[at + 1]
  end
  return map
end
local function add(map, key, by)
  map[key] = (map[key] or 0) + by
end
-- Two maps of sums are the same where neither is zero.
local function same(name, left, right)
  for key, value in pairs(left) do
    check(tonumber(value) == (tonumber(right[key]) or 0), name .. ' ' .. key .. ': ' .. value .. ' against '
      .. tostring(right[key]))
  end
  for key, value in pairs(right) do
    check(left[key] or tonumber(value) == 0, name .. ' ' .. key .. ': nothing against ' .. value)
  end
end

local FORM = '>BBBI4I4I7I6I6I7I7I6I6I6I6I5I4I4I4i4Bc0Bc0Bc0I2c0'
local counts, marks, kinds, groups, bytes = {}, {}, {}, {}, {}
local edges, lanes, waiting, sizes = {}, {}, 0, { specs = 0, timed = 0, expiring = 0 }
local ready, heads, owners = {}, {}, {}
local numbers = pairs_of('m')
local filed = {}
for state = 2, 4 do
  local gone, size = pairs_of('gone:' .. state), 0
  for _, serial in ipairs(redis.call('LRANGE', K .. 'e:' .. state, 0, -1)) do
    if (tonumber(gone[serial]) or 0) > 0 then
      gone[serial] = gone[serial] - 1
      size = size + 1
    else
      check(not filed[serial], serial .. ' is filed twice')
      filed[serial] = state
    end
  end
  check(size == tonumber(numbers['gone:' .. state] or 0), size .. ' have gone from ' .. state)
end
local ends = 0

local function edge_list(key)
  for _, edge in ipairs(redis.call('LRANGE', key, 0, -1)) do
    local wait = struct.unpack('>I7', edge, 18)
    add(edges, string.sub(edge, 1, 16) .. ':' .. string.format('%.0f', wait), 1)
  end
end

local tasks = pairs_of('t')
for serial in pairs(tasks) do
  edge_list(K .. 'd:' .. serial)
end
for _, entry in ipairs(redis.call('LRANGE', K .. 'cascades', 0, -1)) do
  edge_list(K .. 'c:' .. string.match(entry, '^(%d+)'))
end
local texts, ids, rows = pairs_of('spec'), pairs_of('ids'), pairs_of('key')

for serial, raw in pairs(tasks) do
  local state, cause, flags, owner, lane, epoch, started, first, place, wait, created, run_at, finished, expires,
    size, failures, losses, blockers, priority, group, id, flow, key = struct.unpack(FORM, raw)
  local function has(flag)
    return bit.band(flags, flag) ~= 0
  end
  local name = 'task ' .. id .. ' (' .. state .. ')'
  local member = string.format('%.0f', place)
  member = member == serial and member or member .. serial
  check(ids[id] == serial, name .. ' cannot be found')
  check(texts[serial], name .. ' has no text')
  local kind, queue = struct.unpack('>I4Bc0', redis.call('HGET', K .. 'ln', lane) or '\0\0\0\0\0')
  check(redis.call('HGET', K .. 'k:' .. kind, lane) == queue, name .. ' stands in no lane')
  local backlog = K .. 'b:' .. lane .. ':' .. group
  local stands = redis.call('ZSCORE', backlog, member)
  local timed = redis.call('ZSCORE', K .. 'timed', member)
  local is_filed = filed[serial] == state
  local node = redis.call('HGET', K .. 'nn', owner)
  local runs = state == 1 and node and redis.call('ZSCORE', K .. 'nodes', node)
  local places = (stands and 1 or 0) + (timed and 1 or 0) + (is_filed and 1 or 0) + (runs and 1 or 0)
    + (state == 0 and blockers > 0 and 1 or 0)
  check(places == 1, name .. ' is in ' .. places .. ' places')
  check((runs and true or false) == (state == 1) and (owner > 0) == (state == 1), name .. ' runs or not')
  check((timed and true or false) == (has(32) and state == 0), name .. ' is timed or not')
  check(is_filed == (state > 1), name .. ' has ended or not')
  if stands then
    check(tonumber(stands) == -priority, name .. ' has another priority')
    ready[lane .. ':' .. group] = true
  end
  local expiring = redis.call('ZSCORE', K .. 'x', serial)
  check((expiring and tonumber(expiring) or 0) == (state == 0 and expires or 0), name .. ' would not expire')
  if state == 0 then
    waiting = waiting + 1
    check(blockers == (edges[serial .. ':' .. string.format('%.0f', wait)] or 0), name .. ' has wrong blockers')
  end
  local awaited = redis.call('EXISTS', K .. 'd:' .. serial) == 1
  check(awaited == has(8), name .. ' is awaited or not')
  check((redis.call('HGET', K .. 'why', serial) and true or false) == has(4), name .. ' has a reason or not')
  check((redis.call('HGET', K .. 'bl', serial) and true or false) == has(16), name .. ' has blockers or not')
  check((redis.call('HGET', K .. 'at', serial) and true or false) == has(64), name .. ' has attempts or not')
  check((redis.call('HGET', K .. 'out', serial) and true or false) == has(128), name .. ' has an output or not')
  check(not has(128) or state == 2, name .. ' has an output without having completed')
  if key ~= '' and state < 2 and not has(1) then
    local holder = rows[key] and struct.unpack('>Bc0', rows[key])
    check(holder == serial, name .. ' does not hold its key')
  end
  local text = texts[serial] or '\0\0\0\0'
  local input = #text - 4 - struct.unpack('>I4', text)
  check(size == input + #(redis.call('HGET', K .. 'out', serial) or ''), name .. ' has another size')
  local view = state > 0 and state + 3 or blockers > 0 and 3 or timed and 1 or 2
  add(counts, lane .. ':' .. view, 1)
  for _, list in ipairs({ 'a', 'l' .. lane, 'v' .. view, group ~= '' and 'g' .. group or 'a',
    flow ~= '' and 'f' .. flow or 'a' }) do
    if list ~= 'a' or not marks['a' .. serial] then
      marks[list] = marks[list] or {}
      add(marks[list], string.sub(serial, 1, 14), 1)
      if list == 'a' then
        marks['a' .. serial] = {}
      end
    end
  end
  if state == 1 then
    add(kinds, tostring(kind), 1)
    add(owners, tostring(owner), 1)
    if group ~= '' then
      add(groups, kind .. ':' .. group, 1)
    end
  elseif state > 1 then
    add(bytes, 'bytes:' .. state, size)
    ends = ends + 1
  end
  sizes.specs = sizes.specs + 1
  sizes.timed = sizes.timed + (timed and 1 or 0)
  sizes.expiring = sizes.expiring + (expiring and 1 or 0)
  lanes[lane] = true
end

check(waiting == tonumber(numbers.w or 0), waiting .. ' wait, ' .. tostring(numbers.w) .. ' are counted')
same('count', counts, pairs_of('n'))
same('kind', kinds, pairs_of('rk'))
same('node', owners, pairs_of('rn'))
same('group', groups, pairs_of('rg'))
for state = 2, 4 do
  check((bytes['bytes:' .. state] or 0) == tonumber(numbers['bytes:' .. state] or 0), 'bytes of ' .. state)
end
for _ in pairs(filed) do
  ends = ends - 1
end
check(ends == 0, 'more are filed than have ended')
for list, chunks in pairs(marks) do
  if next(chunks) then
    same('chunks ' .. list, chunks, pairs_of('j:' .. list))
    local size = 0
    for chunk in pairs(chunks) do
      size = size + 1
      check(redis.call('ZSCORE', K .. 'i:' .. list, chunk), 'chunk ' .. chunk .. ' is not in list ' .. list)
    end
    check(size == redis.call('ZCARD', K .. 'i:' .. list), 'list ' .. list .. ' has other chunks')
  end
end
for serial in pairs(pairs_of('noted')) do
  check(tasks[serial], 'notes of task ' .. serial .. ', which is gone')
end
local texts_left = redis.call('HLEN', K .. 'spec')
check(texts_left == sizes.specs, texts_left .. ' texts of ' .. sizes.specs .. ' tasks')
check(redis.call('HLEN', K .. 'ids') == sizes.specs, 'ids without tasks')
check(redis.call('ZCARD', K .. 'timed') == sizes.timed, 'timed without tasks')
check(redis.call('ZCARD', K .. 'x') == sizes.expiring, 'expiring without tasks')
check(redis.call('ZCARD', K .. 'cells') == redis.call('HLEN', K .. 'cell'), 'cells that are in no list')
for lane in pairs(pairs_of('ln')) do
  check(lanes[tonumber(lane)], 'lane ' .. lane .. ' has no task')
  local size = 0
  for group, head in pairs(pairs_of('h:' .. lane)) do
    size = size + 1
    local best = redis.call('ZRANGE', K .. 'b:' .. lane .. ':' .. group, 0, 0, 'WITHSCORES')
    check(best[1] and string.sub(head, 17) == best[1] .. ':' .. group, 'lane ' .. lane .. ' has a wrong head')
    check(tonumber(redis.call('ZSCORE', K .. 'o:' .. lane, head)) == tonumber(best[2]), 'lane ' .. lane .. ' has a wrong order')
    heads[lane .. ':' .. group] = true
  end
  check(size == redis.call('ZCARD', K .. 'o:' .. lane), 'lane ' .. lane .. ' has another order')
end
for group in pairs(ready) do
  check(heads[group], 'lane and group ' .. group .. ' have no head')
end
for key, row in pairs(rows) do
  local holder, after = struct.unpack('>Bc0Bc0', row)
  local held = holder ~= '' and tasks[holder] and string.byte(tasks[holder], 1) < 2
  check(holder == '' or held, 'key ' .. key .. ' is held by a task that has ended')
  local old = after ~= '' and ids[after] and tasks[ids[after]]
  check(after == '' or old and bit.band(string.byte(old, 3), 1) == 1, 'key ' .. key .. ' waits for nobody')
end
return wrong

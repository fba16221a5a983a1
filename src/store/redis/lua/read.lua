-- read: tasks by id, tasks in order and by filter, and how many there are.
-- ARGV: the clock; what is asked for; then its arguments.
local answers = {}

-- A record: packed task, text, output, attempts, reason, blockers, owner.
local function record(serial, raw)
  local flags = byte(raw, 3)
  local function if_any(which, key)
    return bit.band(flags, which) ~= 0 and call('HGET', K .. key, serial) or ''
  end
  local owner = byte(raw, 1) == RUNNING and call('HGET', K .. 'nn', (unpacked('>I4', raw, 4))) or ''
  return { raw, call('HGET', K .. 'spec', serial), if_any(ANSWERED, 'out'), if_any(TRIED, 'at'), if_any(STOPS, 'why'),
    if_any(AWAITS, 'bl'), owner }
end

-- ARGV: ids
function answers.get()
  local ids, found = {}, {}
  for at = 3, #ARGV do
    ids[at - 2] = ARGV[at]
  end
  local serials = fetch(K .. 'ids', ids)
  for n = 1, #ids do
    local raw = serials[n] and call('HGET', K .. 't', serials[n])
    found[n] = raw and record(serials[n], raw) or {}
  end
  return { now, found }
end

-- The list of chunks, of those that the filter names, in which there is least to read. What is due but not
-- promoted is shown as ready and stands among the timed.
local function lists_of(lanes, views, group, flow)
  local choices = { { 'a' } }
  if #lanes > 0 then
    local list = {}
    for n, lane in ipairs(lanes) do
      list[n] = 'l' .. lane
    end
    choices[#choices + 1] = list
  end
  if group ~= '' then
    choices[#choices + 1] = { 'g' .. group }
  end
  if flow ~= '' then
    choices[#choices + 1] = { 'f' .. flow }
  end
  if views ~= '' then
    local list = {}
    for view in string.gmatch(views, '%d') do
      list[#list + 1] = 'v' .. view
    end
    if string.find(views, READY, 1, true) and not string.find(views, SCHEDULED, 1, true) then
      list[#list + 1] = 'v' .. SCHEDULED
    end
    choices[#choices + 1] = list
  end
  local best, least
  for _, choice in ipairs(choices) do
    local size = 0
    for _, list in ipairs(choice) do
      size = size + call('ZCARD', K .. 'i:' .. list)
    end
    if not least or size < least then
      best, least = choice, size
    end
  end
  return best
end

local function next_chunk(lists, from, forward)
  local best
  for _, list in ipairs(lists) do
    local found
    if forward then
      found = call('ZRANGEBYSCORE', K .. 'i:' .. list, from, '+inf', 'LIMIT', 0, 1)[1]
    else
      found = call('ZREVRANGEBYSCORE', K .. 'i:' .. list, from, '-inf', 'LIMIT', 0, 1)[1]
    end
    if found and (not best or forward and found < best or not forward and found > best) then
      best = found
    end
  end
  return best
end

local function view_of(raw)
  local state = byte(raw, 1)
  if state ~= WAITING then
    return state + 3
  end
  if unpacked('>I4', raw, 82) > 0 then
    return BLOCKED
  end
  return unpacked('>I6', raw, 47) > now and SCHEDULED or READY
end

-- ARGV: direction, where the page before ended (a serial, or empty), how many records at most, how many
-- chunks, views, group, created before, created after, whether packed tasks are enough, flow, number of lanes
-- (-1: any), lanes
function answers.scan()
  local forward, cursor, max, chunks = ARGV[3] == '+', ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
  local views, group, before, after = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
  local is_brief, flow, any_lane = ARGV[11] == '1', ARGV[12], ARGV[13] == '-1'
  local lanes, wanted = {}, {}
  for at = 14, #ARGV do
    lanes[#lanes + 1] = ARGV[at]
    wanted[tonumber(ARGV[at])] = true
  end
  local found, last = {}, cursor
  if not any_lane and #lanes == 0 then
    return { now, '', found }
  end
  local lists = lists_of(lanes, views, group, flow)
  local from = cursor ~= '' and sub(cursor, 1, 14) or forward and '-inf' or '+inf'
  while true do
    local chunk = next_chunk(lists, from, forward)
    if not chunk then
      return { now, '', found }
    end
    if chunks == 0 then
      return { now, last, found }
    end
    chunks = chunks - 1
    local serials = {}
    for n = 0, 99 do
      serials[n + 1] = chunk .. string.format('%02d', forward and n or 99 - n)
    end
    local all = fetch(K .. 't', serials)
    for n, serial in ipairs(serials) do
      local raw = all[n]
      local ahead = cursor == '' or forward and serial > cursor or not forward and serial < cursor
      if raw and ahead then
        local created, lane = unpacked('>I6', raw, 41), unpacked('>I4', raw, 53)
        local length = byte(raw, 90)
        local of = sub(raw, 92 + length, 91 + length + byte(raw, 91 + length))
        if (any_lane or wanted[lane]) and (group == '' or group == of)
          and (flow == '' or flow == flow_of(raw, 90)) and (not before or created < before)
          and (not after or created > after) and (views == '' or string.find(views, view_of(raw), 1, true)) then
          if #found == max then
            return { now, last, found }
          end
          found[#found + 1] = { serial, is_brief and { raw } or record(serial, raw) }
        end
        last = serial
      end
    end
    last = serials[100]
    from = '(' .. chunk
  end
end

-- ARGV: queue or empty
function answers.counts()
  local due, from = {}, 0
  while true do
    local names = call('ZRANGEBYSCORE', K .. 'timed', '-inf', now, 'LIMIT', from, 1000)
    for _, name in ipairs(names) do
      local raw = call('HGET', K .. 't', sub(name, -16))
      local lane = tostring(unpacked('>I4', raw, 53))
      due[lane] = (due[lane] or 0) + 1
    end
    if #names < 1000 then
      break
    end
    from = from + 1000
  end
  local totals = { 0, 0, 0, 0, 0, 0, 0 }
  local all = call('HGETALL', K .. 'n')
  local of = {}
  for at = 1, #all, 2 do
    local lane, view = string.match(all[at], '^(%d+):(%d)$')
    if of[lane] == nil then
      of[lane] = ARGV[3] == '' or lane_of(lane).queue == ARGV[3]
      if of[lane] and due[lane] then
        totals[SCHEDULED], totals[READY] = totals[SCHEDULED] - due[lane], totals[READY] + due[lane]
      end
    end
    if of[lane] then
      totals[tonumber(view)] = totals[tonumber(view)] + tonumber(all[at + 1])
    end
  end
  return totals
end

-- The lanes there are: number, queue, kind.
function answers.lanes()
  local list = {}
  local all = call('HGETALL', K .. 'ln')
  for at = 1, #all, 2 do
    local _, queue, name = unpacked('>I4Bc0Bc0', all[at + 1])
    list[#list + 1] = { all[at], queue, name }
  end
  return list
end

-- ARGV: id
function answers.serial()
  return call('HGET', K .. 'ids', ARGV[3]) or ''
end

return answers[ARGV[2]]()

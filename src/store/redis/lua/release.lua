-- The ties between tasks: who waits for whom, and how the end of one releases another.
--
-- An edge is the serial of the one that waits, whether it runs in spite of a failure, and the packed number of its wait.
-- Edges of ended tasks that one step tells.
local MOST_TOLD = 1000
-- One name for all of them: a function may only have so many names from outside.
local ties = {}

function ties.edge_of(serial, wait, run_anyway)
  return serial .. (run_anyway and '1' or '0') .. pack('>I7', wait)
end

function ties.hang(serial, edge)
  local list = hung[serial] or {}
  hung[serial] = list
  list[#list + 1] = edge
end

-- A task that others wait for has ended. They get a list of its own: it may be revived and awaited again before this one
-- is worked off.
function ties.hand_down(serial, completed)
  flush_edges()
  local number = digits(count('end', 1))
  call('RENAME', K .. 'd:' .. serial, K .. 'c:' .. number)
  call('RPUSH', K .. 'cascades', number .. ':' .. (completed and 1 or 0))
end

-- How often each edge is to be told that a blocker has completed, and how many were told in all.
local told, told_size = {}, 0

-- Takes the edges of a completed task, as far as one step can tell them.
function ties.pass_on(serial)
  flush_edges()
  local most = MOST_TOLD - told_size
  local edges = most > 0 and call('LPOP', K .. 'd:' .. serial, most) or {}
  for _, edge in ipairs(edges) do
    told[edge] = (told[edge] or 0) + 1
  end
  told_size = told_size + #edges
  if #edges >= most and call('EXISTS', K .. 'd:' .. serial) == 1 then
    ties.hand_down(serial, true)
  end
end

-- So many of those that a task has waited for have ended; answers the task as it is then, where nothing but that is to
-- be looked at, and otherwise whether that was all.
function ties.released(serial, wait, size)
  local raw = raws[serial]
  if tasks[serial] then
    return nil, false
  elseif not raw or byte(raw, 1) ~= WAITING or sub(raw, 38, 44) ~= wait then
    return nil, true
  elseif byte(raw, 90) > 0 or sub(raw, 63, 68) ~= NEVER then
    return nil, false
  end
  local blockers = unpacked('>I4', raw, 82) - size
  if blockers == 0 then
    if unpacked('>I6', raw, 51) > now then
      return nil, false
    end
    local lane, number = unpacked('>I4', raw, LANE_AT), unpacked('>I7', raw, PLACE_AT)
    local place = in_row(number)
    rank(backlog(lane, ''), place == serial and place or place .. serial, -unpacked('>i4', raw, 86))
    touch(lane, '')
    tally(lane, BLOCKED, serial, -1)
    tally(lane, READY, serial, 1)
  end
  raw = sub(raw, 1, 81) .. pack('>I4', blockers) .. sub(raw, 86)
  raws[serial] = raw
  return raw
end

-- Tells those that wait for completed tasks, each once; where there is more to look at, its edges are left to a cascade.
function ties.tell_told()
  if told_size == 0 then
    return
  end
  local serials, writes, left = {}, {}, {}
  for edge in pairs(told) do
    serials[#serials + 1] = sub(edge, 1, 16)
  end
  prefetch(serials)
  for edge, size in pairs(told) do
    local serial = sub(edge, 1, 16)
    local raw, is_all = ties.released(serial, sub(edge, 18), size)
    if raw then
      writes[#writes + 1], writes[#writes + 2] = serial, raw
    elseif not is_all then
      for _ = 1, size do
        left[#left + 1] = edge
      end
    end
  end
  each('HSET', K .. 't', writes)
  if #left > 0 then
    local number = digits(count('end', 1))
    each('RPUSH', K .. 'c:' .. number, left)
    call('RPUSH', K .. 'cascades', number .. ':1')
  end
  told = {}
end

-- The ties between tasks: who waits for whom, and how the end of one releases another.
local function hang(serial, edge)
  local list = hung[serial] or {}
  hung[serial] = list
  list[#list + 1] = edge
end

-- A task that others wait for has ended. They get a list of its own: it may be revived and awaited again before this one
-- is worked off.
local function hand_down(serial, completed)
  flush_edges()
  local number = digits(count('end', 1))
  call('RENAME', K .. 'd:' .. serial, K .. 'c:' .. number)
  call('RPUSH', K .. 'cascades', number .. ':' .. (completed and 1 or 0))
end

-- One of those that a task has waited for has ended; answers the task as it is then, where nothing but that is to be
-- looked at.
local function released(serial, wait)
  local raw = tasks[serial] == nil and raws[serial]
  if not raw or byte(raw, 1) ~= WAITING or unpacked('>I7', raw, 38) ~= wait or byte(raw, 90) > 0
    or sub(raw, 63, 68) ~= NEVER then
    return nil
  end
  local blockers = unpacked('>I4', raw, 82)
  if blockers == 1 then
    if unpacked('>I6', raw, 51) > now then
      return nil
    end
    local lane, at = unpacked('>I4', raw, LANE_AT), digits(unpacked('>I7', raw, PLACE_AT))
    rank(backlog(lane, ''), at == serial and at or at .. serial, -unpacked('>i4', raw, 86))
    touch(lane, '')
    tally(lane, BLOCKED, serial, -1)
    tally(lane, READY, serial, 1)
  end
  raw = sub(raw, 1, 81) .. pack('>I4', blockers - 1) .. sub(raw, 86)
  raws[serial] = raw
  return raw
end

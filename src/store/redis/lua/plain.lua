-- Tasks that nothing can refuse and that stand for no other: most pushes, and most workflows.

-- What specs with one head have in common: when they may start, and their lane.
local function alike(head)
  local flags, when, time, number, priority = unpacked(HOW, head)
  local run_at = start_of(when, time)
  local lane = lane_for(number)
  local waits = bit.band(flags, WAITS) ~= 0
  local common = { lane = lane, run_at = run_at, timed = run_at > now and not waits, size = 0, groups = {} }
  common.waits, common.view = waits, waits and BLOCKED or common.timed and SCHEDULED or READY
  common.grouped, common.expires = bit.band(flags, GROUPED) ~= 0, bit.band(flags, EXPIRES) ~= 0
  common.flows = bit.band(flags, FLOWS) ~= 0
  common.score = digits(-priority)
  local ties = (waits and AWAITS or 0) + (bit.band(flags, LEADS) ~= 0 and AWAITED or 0)
  common.head = pack('>BBBI4I4', 0, 0, ties + (common.timed and TIMED or 0), 0, lane)
    .. string.rep('\0', PLACE_AT - EPOCH_AT)
  common.dates = NOW .. pack('>I6', run_at)
  common.mark, common.marked =
    marker({ a = 1, ['l' .. lane] = 1, ['v' .. common.view] = 1 })
  return common
end

-- Where a ready task goes: scores and serials of its group's backlog.
local function queue_of(common, group)
  local queue = common.groups[group]
  if not queue then
    queue = {}
    common.groups[group] = queue
    touch(common.lane, group)
  end
  return queue
end

-- Serials of tasks that are all new, in a row.
local function numbered(first, size)
  local serials = {}
  for n = 1, size do
    serials[n] = in_row(first + n)
  end
  return serials
end

-- `links` has the blockers of each that waits, one after the other, as places in this push. Where one of such tasks is
-- there already, the push was made before and has to be looked at: the answer is nil, and nothing is done.
local function add_plain(size, links)
  local ids, from = {}, at
  for n = 1, size do
    local tail = ARGV[at + 2]
    local group_length = byte(tail, 34)
    ids[n] = sub(tail, 36 + group_length, 35 + group_length + byte(tail, 35 + group_length))
    at = at + 3
  end
  local serials = fetch(K .. 'ids', ids)
  local first, made, heads = counter('place'), 0, {}
  local seen, by_id, by_serial, specs = {}, {}, {}, {}
  local own, lists, link = nil, {}, 1
  if links then
    for n = 1, size do
      if serials[n] then
        return nil
      end
    end
    own = numbered(first, size)
  end
  for n = 1, size do
    local id, head, tail = ids[n], ARGV[from + 3 * n - 2], ARGV[from + 3 * n - 1]
    if not serials[n] and not seen[id] then
      made = made + 1
      local number = first + made
      local serial = own and own[n] or in_row(number)
      local list = links and #head > HEAD and sub(head, HEAD + 1)
      if list then
        head = sub(head, 1, HEAD)
        lists[#lists + 1], lists[#lists + 2] = serial, list
        local run_anyway, blockers = unpacked('>BI4', list)
        local edge = ties.edge_of(serial, number, run_anyway == 1)
        for _ = 1, blockers do
          ties.hang(own[unpacked('>I4', links, link)], edge)
          link = link + 4
        end
      end
      local common = heads[head]
      if not common then
        common = alike(head)
        heads[head] = common
      end
      local group = common.grouped and sub(tail, 35, 34 + byte(tail, 34)) or ''
      seen[id] = true
      by_id[2 * made - 1], by_id[2 * made] = id, serial
      specs[2 * made - 1], specs[2 * made] = serial, ARGV[from + 3 * n]
      by_serial[2 * made - 1] = serial
      by_serial[2 * made] = common.head .. pack('>I7I7', number, number) .. common.dates .. tail
      if common.timed then
        rank(K .. 'timed', serial, common.run_at)
      elseif not common.waits then
        local queue = queue_of(common, group)
        local size = #queue
        queue[size + 1], queue[size + 2] = common.score, serial
      end
      common.size = common.size + 1
      common.mark(serial)
      if group ~= '' then
        mark('g' .. group, serial, 1)
      end
      if common.flows then
        mark('f' .. flow_of(tail, 34), serial, 1)
      end
      if common.expires then
        rank(K .. 'x', serial, unpacked('>I6', tail, 7))
      end
    end
  end
  each('HSET', K .. 'ids', by_id)
  known_serials = {}
  each('HSET', K .. 'spec', specs)
  each('HSET', K .. 't', by_serial)
  each('HSET', K .. 'bl', lists)
  for _, common in pairs(heads) do
    for group, queue in pairs(common.groups) do
      each('ZADD', backlog(common.lane, group), queue)
    end
    common.marked()
    add(sums.n, common.lane .. ':' .. common.view, common.size)
  end
  count('place', made)
  count('w', made)
  flush()
  return 1
end

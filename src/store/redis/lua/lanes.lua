-- How specs come, and their lanes.
--
-- A spec comes as three texts: its head (flags, the earliest start, the number of its lane in `wanted`, its
-- priority, what is said about its key and its blockers), the tail of the packed task, and the text that readers get, whose
-- first four bytes say where its input begins.
local WAITS, GROUPED, EXPIRES, FLOWS, LEADS = 4, 8, 16, 32, 64
local AT_ONCE, AFTER = 0, 1
local HOW, HEAD = '>BBI6I2i4', 14

-- The lanes that specs name, by number: queue and name; `known` has those that were looked up.
local wanted, known = {}, {}

local function lane_for(number)
  if known[number] then
    return known[number]
  end
  local queue, name = wanted[number][1], wanted[number][2]
  local field = pack('>Bc0Bc0', #queue, queue, #name, name)
  local lane = look('lanes', field)
  if not lane then
    local kind = look('kinds', name)
    if not kind then
      kind = digits(count('kind', 1))
      put('kinds', name, kind)
    end
    lane = digits(count('lane', 1))
    put('lanes', field, lane)
    put('ln', lane, pack('>I4Bc0Bc0', tonumber(kind), #queue, queue, #name, name))
    put('k:' .. kind, lane, queue)
  end
  known[number] = tonumber(lane)
  return known[number]
end

-- The earliest start of a spec.
local function start_of(when, time)
  if when == AFTER then
    return math.min(now + time, 2 ^ 48 - 1)
  elseif when ~= AT_ONCE then
    return time
  end
  return now
end

local function read_lanes()
  for number = 1, tonumber(arg()) do
    wanted[number] = { arg(), arg() }
  end
end

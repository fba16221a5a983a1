-- Nodes: who lives, what they run, and what they should stop.
local function node_number(node, host, pid)
  local number = call('HGET', K .. 'nd:' .. node, 'no')
  if number then
    return tonumber(number)
  end
  number = count('node', 1)
  call('HSET', K .. 'nd:' .. node, 'no', number, 'host', host, 'pid', pid, 'to', 0, 'dead', 0)
  call('HSET', K .. 'nn', number, node)
  call('ZADD', K .. 'nodes', now, node)
  return number
end

local function forget_node(node)
  local number = call('HGET', K .. 'nd:' .. node, 'no')
  if number then
    call('HDEL', K .. 'nn', number)
  end
  call('UNLINK', K .. 'nd:' .. node, K .. 'last:' .. node, K .. 'stop:' .. node)
  call('ZREM', K .. 'nodes', node)
  call('SREM', K .. 'given', node)
end

-- How many tasks a node runs.
local function running_of(node)
  local number = call('HGET', K .. 'nd:' .. node, 'no')
  return number and tonumber(call('HGET', K .. 'rn', number) or 0) or 0
end

-- The runs of a node up to an epoch, by epoch. Nodes keep no list of what they run: only the dead are asked
-- for it, and there are never many running tasks to look through.
local function runs_to(node, to)
  local runs = {}
  local number = tonumber(call('HGET', K .. 'nd:' .. node, 'no') or 0)
  if to == 0 or running_of(node) == 0 then
    return runs
  end
  for _, chunk in ipairs(call('ZRANGE', K .. 'i:v' .. RUNS, 0, -1)) do
    local serials = {}
    for n = 0, 99 do
      serials[n + 1] = chunk .. string.format('%02d', n)
    end
    for n, raw in ipairs(fetch(K .. 't', serials)) do
      if raw and byte(raw, 1) == RUNNING and unpacked('>I4', raw, OWNER_AT) == number then
        local epoch = unpacked('>I7', raw, EPOCH_AT)
        if epoch <= to then
          runs[#runs + 1] = { epoch, serials[n] }
        end
      end
    end
  end
  table.sort(runs, function(a, b) return a[1] < b[1] end)
  return runs
end

local function given_up(node)
  return tonumber(call('HGET', K .. 'nd:' .. node, 'to') or 0)
end

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
  call('UNLINK', K .. 'nd:' .. node, K .. 'last:' .. node, K .. 'stop:' .. node, K .. 'r:' .. node)
  call('ZREM', K .. 'nodes', node)
  call('SREM', K .. 'given', node)
end

-- The runs of a node up to an epoch, by epoch.
local function runs_to(node, to)
  local runs = {}
  local all = call('HGETALL', K .. 'r:' .. node)
  for at = 1, #all, 2 do
    local epoch = tonumber(all[at])
    if epoch <= to then
      runs[#runs + 1] = { epoch, all[at + 1] }
    end
  end
  table.sort(runs, function(a, b) return a[1] < b[1] end)
  return runs
end

local function given_up(node)
  return tonumber(call('HGET', K .. 'nd:' .. node, 'to') or 0)
end

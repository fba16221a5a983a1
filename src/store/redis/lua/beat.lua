-- beat: a node lives, and learns what it should know; also who lives, what the dead left, and who leaves.
-- ARGV: the clock; what is asked for; then its arguments.
local asked = ARGV[2]

-- Readers get a running task as its packed text, its own text, and its list of blockers.
local function told(serial)
  local raw = call('HGET', K .. 't', serial)
  local awaits = raw and bit.band(byte(raw, 3), AWAITS) ~= 0
  return { raw, call('HGET', K .. 'spec', serial), awaits and call('HGET', K .. 'bl', serial) or '' }
end

local function find_dead(lease)
  for _, node in ipairs(call('ZRANGEBYSCORE', K .. 'nodes', '-inf', now - lease - 1)) do
    if running_of(node) == 0 then
      forget_node(node)
    else
      call('HSET', K .. 'nd:' .. node, 'dead', 1, 'to', counter('epoch'))
      call('SADD', K .. 'given', node)
    end
  end
  local dead = {}
  for _, node in ipairs(call('SMEMBERS', K .. 'given')) do
    if #runs_to(node, given_up(node)) > 0 then
      dead[#dead + 1] = node
    else
      call('SREM', K .. 'given', node)
    end
  end
  table.sort(dead)
  return dead
end

local function stops_of(node)
  local stops = {}
  local asked_to = call('HGETALL', K .. 'stop:' .. node)
  for at = 1, #asked_to, 2 do
    local t = load(asked_to[at + 1])
    local reason = t and look('why', t.serial)
    if reason and t.state == RUNNING and t.epoch == tonumber(asked_to[at]) then
      stops[#stops + 1] = { t.id, asked_to[at], reason }
    end
  end
  table.sort(stops, function(a, b) return tonumber(a[2]) < tonumber(b[2]) end)
  return stops
end

local answers = {}

-- ARGV: node, host, pid, lease
function answers.pulse()
  local node, lease = ARGV[3], tonumber(ARGV[6])
  -- Room for what follows, even where memory has run out: only the first write can be refused for that.
  call('UNLINK', K .. 'scratch')
  if now - counter('pulse') > lease / 2 then
    -- Nobody has beaten for so long: more likely a pause of the server or a failover than the death of all,
    -- so nobody is declared dead for it.
    for _, other in ipairs(call('ZRANGE', K .. 'nodes', 0, -1)) do
      call('ZADD', K .. 'nodes', now, other)
    end
  end
  set_counter('pulse', now)
  node_number(node, ARGV[4], ARGV[5])
  call('HSET', K .. 'nd:' .. node, 'host', ARGV[4], 'pid', ARGV[5])
  call('ZADD', K .. 'nodes', now, node)
  local dead = find_dead(lease)
  local was_dead = call('HGET', K .. 'nd:' .. node, 'dead') == '1'
  if was_dead then
    call('HSET', K .. 'nd:' .. node, 'dead', 0)
  end
  flush()
  return { now, dead, stops_of(node), call('SMEMBERS', K .. 'paused'), was_dead and 1 or 0 }
end

-- ARGV: max, nodes
function answers.orphans()
  local found = {}
  for at = 4, #ARGV do
    for _, run in ipairs(runs_to(ARGV[at], given_up(ARGV[at]))) do
      if #found == tonumber(ARGV[3]) then
        return { now, found }
      end
      found[#found + 1] = told(run[2])
    end
  end
  return { now, found }
end

-- ARGV: node
function answers.leave()
  if running_of(ARGV[3]) == 0 then
    forget_node(ARGV[3])
  end
  return 1
end

function answers.nodes()
  local list = {}
  local all = call('ZRANGE', K .. 'nodes', 0, -1, 'WITHSCORES')
  for at = 1, #all, 2 do
    local node = all[at]
    local told_by = call('HMGET', K .. 'nd:' .. node, 'host', 'pid')
    list[#list + 1] = { node, told_by[1] or '', told_by[2] or '0', running_of(node), all[at + 1] }
  end
  return list
end

-- A connection has been made. ARGV: the server's run id, the version of this library's layout.
-- After a restart or a failover some epochs may be forgotten: they are skipped, and nobody is dead for a lease.
function answers.hello()
  local version = call('HGET', KEYS[1], 'version')
  if version and tonumber(version) > tonumber(ARGV[4]) then
    return { tonumber(version), 0 }
  end
  local known = call('HGET', KEYS[1], 'run')
  if known ~= ARGV[3] then
    call('UNLINK', K .. 'scratch')
    call('HSET', KEYS[1], 'run', ARGV[3], 'version', ARGV[4])
    if known then
      count('epoch', 1e9)
      set_counter('pulse', 0)
    end
    flush()
  end
  return { tonumber(ARGV[4]), known and known ~= ARGV[3] and 1 or 0 }
end

return answers[asked]()

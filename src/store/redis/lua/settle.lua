-- Ends that are more than a success, and what becomes due by itself.
EXPIRED = ARGV[2]

-- Applies one settlement to a task that runs under its epoch; answers the transition.
local function settle(t, s)
  local cause = s.cause
  if has(t, STOPS) then
    cause = CANCEL
  elseif has(t, TAKEN) and cause ~= COMPLETE then
    cause = SUPERSEDE
  end
  let_go(t)
  t.failures, t.losses = s.failures, s.losses
  if s.attempt then
    note(t, s.number, s.attempt)
  end
  if cause ~= RELEASE then
    t.expires = 0
  end
  if STATE_BY[cause] then
    if cause == COMPLETE and s.output then
      put('out', t.serial, s.output)
      flag(t, ANSWERED, true)
      t.bytes = t.bytes + #s.output
    end
    if cause == SUPERSEDE then
      stop_for(t, SUPERSEDED)
    end
    finish(t, cause)
    if cause == COMPLETE and #s.spawn > 0 then
      spawn(s.spawn)
    end
  else
    t.state, t.cause, t.run_at = WAITING, cause, math.min(now + s.delay, 2 ^ 48 - 1)
    if cause ~= RELEASE then
      t.place = count('place', 1)
    end
    place(t)
  end
  return cause
end

-- What is said of a settlement beside its task and its epoch.
local function read_settlement(said)
  local s = { spawn = {} }
  local has_output, has_attempt, spawned
  s.cause, s.delay, s.failures, s.losses, s.number, has_output, has_attempt, spawned =
    unpacked('>BI6I4I4I4BBI4', said)
  s.output = has_output == 1 and arg() or nil
  s.attempt = has_attempt == 1 and arg() or nil
  for k = 1, spawned do
    s.spawn[k] = spec_of(arg(), arg(), arg())
  end
  return s
end

local function promote(due)
  local serials = {}
  for n, name in ipairs(due) do
    serials[n] = sub(name, -16)
  end
  prefetch(serials)
  for _, serial in ipairs(serials) do
    local t = load(serial)
    unplace(t)
    place(t)
  end
end

local function expire(serials, ended)
  prefetch(serials)
  for _, serial in ipairs(serials) do
    local t = load(serial)
    ended[#ended + 1] = t.id
    expire_one(t)
  end
end

return {
  cascade = cascade, expire = expire, expire_one = expire_one, promote = promote, read_settlement = read_settlement,
  settle = settle,
}

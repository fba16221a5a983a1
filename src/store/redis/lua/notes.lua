-- notes: what runs note down, and reading it.
-- ARGV: the clock; what is asked for; then its arguments.
local STEP, PROGRESS, LINE = 's', 'p', 'l'
local answers = {}

-- Whether a note of this kind is taken from a run with this claim: what was said just before the end may come just
-- after it, a step may not.
local function is_current(t, epoch, kind)
  return t and not t.gone and t.epoch == epoch and (kind ~= STEP or t.state == RUNNING)
end

-- ARGV: most steps, most lines; then for every note its task, its claim, its kind, its key, its text. Of a line the
-- key is its claim and number, in a form in which texts sort like numbers.
function answers.note()
  local most, kept = tonumber(ARGV[3]), tonumber(ARGV[4])
  local ids, said = {}, {}
  for at = 5, #ARGV, 5 do
    ids[#ids + 1] = ARGV[at]
  end
  call('UNLINK', K .. 'scratch')
  local serials = fetch(K .. 'ids', ids)
  for n, serial in ipairs(serials) do
    local at = 5 * n
    local epoch, kind, key, text = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    said[n] = 1
    if is_current(serial and load(serial), epoch, kind) then
      local steps, lines = K .. 'steps:' .. serial, K .. 'log:' .. serial
      said[n] = 0
      if kind == PROGRESS then
        call('HSET', K .. 'progress', serial, text)
      elseif kind == STEP and call('HEXISTS', steps, key) == 0 and call('HLEN', steps) >= most then
        said[n] = 2
      elseif kind == STEP then
        call('HSET', steps, key, text)
      else
        call('ZADD', lines, 0, key .. text)
        call('ZREMRANGEBYRANK', lines, 0, -1 - kept)
      end
      if said[n] == 0 then
        call('HSET', K .. 'noted', serial, 1)
      end
    end
  end
  return said
end

-- ARGV: kind; ids
function answers.read()
  local kind, ids, found = ARGV[3], {}, {}
  for at = 4, #ARGV do
    ids[at - 3] = ARGV[at]
  end
  local serials = fetch(K .. 'ids', ids)
  for n = 1, #ids do
    local serial = serials[n]
    if not serial then
      found[n] = {}
    elseif kind == STEP then
      found[n] = call('HGETALL', K .. 'steps:' .. serial)
    elseif kind == PROGRESS then
      found[n] = { call('HGET', K .. 'progress', serial) or nil }
    else
      found[n] = call('ZRANGE', K .. 'log:' .. serial, 0, -1)
    end
  end
  return found
end

return answers[ARGV[2]]()

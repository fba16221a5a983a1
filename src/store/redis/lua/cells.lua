-- cells: compare-and-set of a small value, reading one, and those that are due.
-- ARGV: the clock; what is asked for; then its arguments.
local answers = {}

-- ARGV: key, old (a flag and the value), new (the same), its date and one
function answers.swap()
  local key = ARGV[3]
  local old, new = ARGV[4] == '1' and ARGV[5], ARGV[6] == '1' and ARGV[7]
  if not holds(key, old) then
    local there, due = cell_of(key)
    return there and { 0, there, due } or { 0 }
  end
  call('UNLINK', K .. 'scratch')
  set_cell(key, new, tonumber(ARGV[8]))
  flush()
  tell()
  return { 1 }
end

function answers.read()
  local there, due = cell_of(ARGV[3])
  return there and { there, due } or {}
end

-- ARGV: max
function answers.due()
  local max, due = tonumber(ARGV[3]), {}
  local dated = call('ZRANGE', K .. 'due', 0, max, 'WITHSCORES')
  for at = 1, #dated, 2 do
    local date = tonumber(dated[at + 1])
    if date > now or #due == max then
      return { due, date, now }
    end
    due[#due + 1] = { dated[at], cell_of(dated[at]), date }
  end
  return { due, -1, now }
end

-- ARGV: what keys begin with, the key to go on after or nothing, max. No key has the last byte of the bound.
function answers.page()
  local prefix, after, found = ARGV[3], ARGV[4], {}
  local from = after == '' and '[' .. prefix or '(' .. after
  local keys = call('ZRANGE', K .. 'cells', from, '(' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, tonumber(ARGV[5]))
  for n, key in ipairs(keys) do
    found[n] = { key, cell_of(key) }
  end
  return { found }
end

return answers[ARGV[2]]()

-- Small shared values. A cell is its date (none: 0) and its value; the cell of a pause marks its queue.
local function cell_of(key)
  local text = look('cell', key)
  if not text then
    return nil
  end
  local due, at = unpacked('>I6', text)
  return sub(text, at), due
end

local function holds(key, old)
  return (cell_of(key) or false) == old
end

-- `due` is a date and one, 0 for none.
local function set_cell(key, new, due)
  put('cell', key, new and pack('>I6', due) .. new)
  rank(K .. 'due', key, new and due > 0 and due - 1)
  -- A hash cannot be read in order: the keys of all cells, all with one score.
  rank(K .. 'cells', key, new and 0)
  local queue = string.match(key, '^pause/(.*)$')
  if queue then
    call(new and 'SADD' or 'SREM', K .. 'paused', queue)
  end
end

-- push: adds tasks, each push all or nothing.
-- ARGV: the clock; the lanes; then for every push its size, its bound, its guard, and its specs.
read_lanes()

local answers = {}
for n = 1, tonumber(arg()) do
  local size, bound = tonumber(arg()), tonumber(arg())
  local is_plain = arg() == '1'
  local guard
  if arg() == '1' then
    guard = { key = arg() }
    local has_old, old = arg() == '1', arg()
    local has_new, new = arg() == '1', arg()
    guard.old, guard.new, guard.due = has_old and old, has_new and new, tonumber(arg())
  end
  if is_plain and not (bound and counter('w') + size > bound) then
    answers[n] = add_plain(size)
  else
    answers[n] = rare()(size, bound, guard)
    tasks, raws = {}, {}
  end
end
tell()
return answers

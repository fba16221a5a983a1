-- push: adds tasks, each push all or nothing.
-- ARGV: the clock; the lanes; then for every push its size, its bound, its kind, its links, its guard, and its specs. The
-- kind is 1 where nothing can refuse its tasks and none stands for another one, and 2 where the same is true of a
-- workflow unless it was pushed before.
read_lanes()

local answers = {}
for n = 1, tonumber(arg()) do
  local size, bound = tonumber(arg()), tonumber(arg())
  local kind = tonumber(arg())
  local links = kind == 2 and arg() or nil
  local guard
  if arg() == '1' then
    guard = { key = arg() }
    local has_old, old = arg() == '1', arg()
    local has_new, new = arg() == '1', arg()
    guard.old, guard.new, guard.due = has_old and old, has_new and new, tonumber(arg())
  end
  local from = at
  if kind > 0 and not (bound and counter('w') + size > bound) then
    answers[n] = add_plain(size, links)
  end
  if not answers[n] then
    at = from
    answers[n] = rare()(size, bound, guard)
    tasks, raws = {}, {}
  end
end
tell()
return answers

-- A push that has to be looked at: keys, blockers, a bound, a guard.
local function add(size, bound, guard)
  local specs = {}
  for n = 1, size do
    specs[n] = spec_of(arg(), arg(), arg())
  end
  local ids = {}
  for _, s in ipairs(specs) do
    ids[#ids + 1] = s.id
    for _, id in ipairs(s.ids) do
      ids[#ids + 1] = id
    end
  end
  ask_for(ids)
  if guard and not holds(guard.key, guard.old) then
    return { 'moved' }
  end
  local plan = plan_of(specs)
  if plan.refusal then
    return plan.refusal
  end
  for _, s in pairs(plan.fresh) do
    for _, id in ipairs(s.ids) do
      id = plan.found[id] or id
      if not plan.fresh[id] and not find(id) then
        return { 'unknown', id }
      end
    end
  end
  if bound and plan.growth > 0 and counter('w') + plan.growth > bound then
    return { 'full', counter('w'), bound }
  end
  resolve(specs, plan)
  local path = any_waits(specs) and circle(specs)
  if path then
    return { 'circle', path }
  end
  if guard then
    set_cell(guard.key, guard.new, guard.due)
  end
  local pushed = add_all(specs)
  flush()
  cascade(1000, {})
  flush()
  return pushed
end

return add

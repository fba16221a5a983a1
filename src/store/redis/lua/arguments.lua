-- The arguments after the first, one after the other.
local at = 1

local function arg()
  at = at + 1
  return ARGV[at]
end

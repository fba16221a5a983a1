-- The terms of every script: its prefix, its clock, and the numbers that stand for words. What follows them is one
-- function: there they are at hand, where a function of the outermost level would look for each of them anew, which
-- takes longer than all that most calls do.
local K = string.sub(KEYS[1], 1, -2)
local call, pack, unpacked, sub, byte = redis.call, struct.pack, struct.unpack, string.sub, string.byte
-- Who calls, and the server's clock, or that of a test.
local sender, now = string.match(ARGV[1], '^(%S*) ?(%d*)$')
now = tonumber(now)
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local WAITING, RUNNING, COMPLETED, FAILED, CANCELLED = 0, 1, 2, 3, 4
local CLAIM, COMPLETE, FAIL, RELEASE, POISON, CANCEL, SUPERSEDE, BLOCK, EXPIRE, REVIVE =
  1, 2, 3, 6, 8, 9, 10, 11, 12, 13
-- Views, in the order in which counts are given; those of ended tasks are their states and three.
local SCHEDULED, READY, BLOCKED, RUNS = 1, 2, 3, 4
-- Flags of a task: its key was taken, a debounce changed its input, it has a reason to stop, others wait
-- for it, it waits for others, it stands among the timed, it has failed attempts, it has an output.
local TAKEN, SLID, STOPS, AWAITED, AWAITS, TIMED, TRIED, ANSWERED = 1, 2, 4, 8, 16, 32, 64, 128

local FORM = '>BBBI4I4I7I6I6I7I7I6I6I6I6I5I4I4I4i4Bc0Bc0Bc0I2c0'
-- All up to the lane, and all up to the place.
local OWNER_AT, LANE_AT, EPOCH_AT, PLACE_AT = 4, 8, 12, 31
local NEVER = '\0\0\0\0\0\0'
local NOW = pack('>I6', now)

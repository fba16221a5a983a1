-- prune: forgets what ended and is beyond the limits, oldest first.
-- ARGV: the clock; how many at most; then for each final state its age, its count and its bytes (empty: any).
local left = tonumber(ARGV[2])
call('UNLINK', K .. 'scratch')
local pruned = 0

for state = COMPLETED, CANCELLED do
  local at = 3 + 3 * (state - COMPLETED)
  local age, number, bytes = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if left > 0 and (age or number or bytes) then
    local there, size = call('LLEN', K .. 'e:' .. state) - counter('gone:' .. state), counter('bytes:' .. state)
    local serials = call('LRANGE', K .. 'e:' .. state, 0, left - 1)
    local gone, taken = fetch(K .. 'gone:' .. state, serials), 0
    prefetch(serials)
    for n, serial in ipairs(serials) do
      local t = load(serial)
      if gone[n] and call('HGET', K .. 'gone:' .. state, serial) then
        forget_gone(state, serial)
      else
        local beyond = number and there > number or bytes and size > bytes or age and now - t.finished > age
        if not beyond then
          break
        end
        there, size, left, pruned = there - 1, size - t.bytes, left - 1, pruned + 1
        forget(t)
      end
      taken = n
    end
    if taken > 0 then
      call('LPOP', K .. 'e:' .. state, taken)
    end
    flush()
  end
end
forget_lanes()
-- Rows of keys whose throttle has run out.
for _, key in ipairs(call('ZRANGEBYSCORE', K .. 'quiet', '-inf', now, 'LIMIT', 0, 1000)) do
  local row = row_of(key)
  if row and row.holder == '' and row.after == '' and row.quiet_until <= now then
    call('HDEL', K .. 'key', key)
  end
  call('ZREM', K .. 'quiet', key)
end
return pruned

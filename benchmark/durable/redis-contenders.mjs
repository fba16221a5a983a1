// The contenders on Redis, with the number of tasks that each gets.
export const MANY = 100_000
export const FEW = 20_000
export const FLOOR = 'Lua, batched'
export const CONTENDERS = [
  { label: 'task', peer: 'task', size: MANY },
  { label: 'bullmq', peer: 'bullmq', size: FEW },
  { label: 'bee-queue', peer: 'bee-queue', size: FEW },
  { label: 'groupmq', peer: 'groupmq', size: FEW },
  { label: FLOOR, peer: 'lua-batch', size: MANY },
]
export const CONCURRENCY = 16

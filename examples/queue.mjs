// Order and retries: which task runs next, and what becomes of one that fails.
// Run it with: node examples/queue.mjs

import { setTimeout as sleep } from 'node:timers/promises'
import { RetryPolicy, TaskError, TaskExecutor } from '@wterminal/task'

const executor = new TaskExecutor({ concurrency: 1 })

// While one task runs, the others wait: larger priorities first, equal ones in the order they came.
const busy = executor.execute(() => sleep(20))
const order = []
const run = (name, priority) => executor.execute(() => order.push(name), { priority })
await Promise.all([busy, run('report', -5), run('mail 1', 0), run('login', 10), run('mail 2', 0)])
console.log(`order: ${order.join(', ')}`)

// 3 attempts at most: the first run and two retries, after 10 and 20 ms (less some jitter).
const retry = RetryPolicy.exponentialBackoff(3, '10ms')
const flaky = ctx => {
  if (ctx.attempt < 3) throw new Error('connection reset')
  return `page, at attempt ${ctx.attempt} of ${ctx.maxAttempts}`
}
console.log(`flaky: ${await executor.execute(flaky, { retry })}`)

// Out of attempts: the caller gets the very error that the last attempt threw.
const broken = ctx => {
  throw new Error(`disk full at attempt ${ctx.attempt}`)
}
await executor.execute(broken, { retry }).catch(error => console.log(`broken: ${error.message}`))

// A fatal error ends it at once, whatever the policy allows.
let calls = 0
const wrong = () => {
  calls++
  throw TaskError.fatal('no such user')
}
await executor.execute(wrong, { retry }).catch(error => console.log(`wrong: ${error.message}, ${calls} call`))

await executor.close()

// Timeouts and cancellation: how work ends before it is done.
// Run it with: node examples/cancel.mjs

import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, TaskExecutor } from '@wterminal/task'

// Work that can be stopped takes the signal along; `sleep` rejects when it aborts, as `fetch` does.
const download = defineTask({
  name: 'download',
  async handler(url, ctx) {
    await sleep(60_000, undefined, { signal: ctx.signal })
    return url
  },
})
const executor = new TaskExecutor({ concurrency: 2, tasks: [download] })

// On time even if the function never ends: the caller gets the error, the slot is free for others.
const hangs = () => new Promise(() => {})
await executor.execute(hangs, { timeout: '30ms' }).catch(error => console.log(`timeout: ${error.code}`))

// The caller's signal removes what has not started, and rejects with the reason given.
const controller = new AbortController()
const running = executor.execute(ctx => sleep(60_000, undefined, { signal: ctx.signal }), {
  signal: controller.signal,
})
setTimeout(() => controller.abort(new Error('user left')), 10)
await running.catch(error => console.log(`signal: ${error.message}`))

// A loop that never awaits reads the flag: it turns true while the event loop is blocked.
const countsUntilCancelled = ctx => {
  let rounds = 0
  while (!ctx.cancelled) rounds++
  return rounds
}
await executor
  .execute(countsUntilCancelled, { timeout: '30ms' })
  .catch(error => console.log(`loop: ${error.code}`))

// A task in the queue is cancelled through its handle, waiting or running.
const waiting = await executor.enqueue(download, '/later', { delay: '1h' })
console.log(`cancelled: ${await waiting.cancel('not needed')}`)
console.log(`state: ${(await waiting.status()).state}`)
const started = await executor.enqueue(download, '/now')
setTimeout(() => started.cancel('changed my mind'), 10)
await started.result().catch(error => console.log(`result: ${error.code}`))

// Closing lets running tasks finish, for so long as the grace period says.
const last = executor.execute(() => sleep(20, 'finished'))
await executor.close({ gracePeriod: '2s' })
console.log(`close: ${await last}`)
await executor.execute(() => 1).catch(error => console.log(`closed: ${error.code}`))

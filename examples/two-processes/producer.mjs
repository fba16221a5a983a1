// `node producer.mjs <address> [count] [name]`: enqueues invoices and waits for their totals. It runs none itself.
// Any number may run at a time. One that was killed and is started again under its name finds its tasks.

import { TaskExecutor } from '@wterminal/task'
import { invoice, persistence } from './invoices.mjs'

const count = Number(process.argv[3] ?? 100)
const name = process.argv[4] ?? `producer-${process.pid}`
// No queues: this process claims nothing.
await closing(new TaskExecutor({ persistence, queues: [], tasks: [invoice] }), async executor => {
  const inputs = Array.from({ length: count }, (_, number) => ({ number, prices: [number, 1, 2] }))
  const handles = await Promise.all(
    inputs.map(input => executor.enqueue(invoice, input, { id: `${name}-${input.number}` })),
  )
  const results = await Promise.all(handles.map(handle => handle.result()))
  const total = results.reduce((sum, result) => sum + result.total, 0)
  const found = handles.filter(handle => !handle.created).length
  console.log(`${results.length} invoices, total ${total}, ${found} were there before`)
})

async function closing(executor, work) {
  // An awaited result does not keep a producer's process alive; a timer does.
  const alive = setInterval(() => {}, 1_000_000)
  try {
    await work(executor)
  } finally {
    await executor.close()
    clearInterval(alive)
  }
}

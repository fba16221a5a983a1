// This library with handlers in threads. More tasks than threads may be under way, so that short ones travel together:
// piscina hands its threads one at a time, and has all of them in a queue of its own.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

export async function open({ filename, threads }) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const task = defineTask({ name: 'fib', isolation: 'thread', module: filename })
  const executor = new TaskExecutor({ threads, concurrency: 64 * threads, tasks: [task] })
  return { run: input => executor.execute(task, input), close: () => executor.close() }
}

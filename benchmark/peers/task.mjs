// This library, through its public API only.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

export async function create({ concurrency }) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const executor = new TaskExecutor({ concurrency })
  return {
    add: (run, options) => executor.execute(run, options),
    pause: () => executor.pause(),
    resume: () => executor.resume(),
    close: () => executor.close(),
    /** Only here: a named task on the memory store, input and output in JSON. */
    define(name, handler) {
      const task = defineTask({ name, handler })
      executor.register(task)
      return input => executor.enqueue(task, input)
    },
  }
}

/** Not public: times the shim from the first turn until the loop is let go. To be called before `create`. */
export function probe() {
  const { enable, maxTurn } = require('../../lib/probe.js')
  enable()
  return maxTurn
}

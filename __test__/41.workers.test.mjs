// Engines in worker threads, in several at once and in the main thread beside them, ended in every way while they
// work. A worker that goes is an event like any other: never the death of the process.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { TaskExecutor } from '../index.js'
import { run } from './support/child.mjs'
import { within } from './support/executors.mjs'

// In all, over the modes below.
const ROUNDS = process.env.SOAK === '1' ? 500 : 40
const PER_PROCESS = 10

const MODES = [
  ['beside engines in the main thread', 'both', 0, 0.5],
  ['with the addon in workers only', 'workers', 0, 0.3],
  ['until process.exit', 'exit', 3, 0.2],
]

describe('workers end in every way', { concurrency: true }, () => {
  for (const [title, mode, code, share] of MODES) test(title, rounds(mode, code, share))
})

function rounds(mode, code, share) {
  return async () => {
    for (let left = Math.round(ROUNDS * share), seed = 1; left > 0; left -= PER_PROCESS, seed += 1) {
      const some = Math.min(left, PER_PROCESS)
      const result = await run('worker-rounds.mjs', [String(some), String(seed), mode])
      assert.equal(result.signal, null, `seed ${seed}: ${result.stderr}`)
      assert.deepEqual(
        [result.code, result.lines],
        [code, [`ended ${some * 3}`]],
        `seed ${seed}: ${result.stderr}`,
      )
    }
  }
}

const PROGRAM = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { TaskExecutor, defineTask } = require(workerData)
  const double = defineTask({ name: 'double', handler: async value => 2 * value })
  const executor = new TaskExecutor({ tasks: [double], concurrency: 3 })
  async function main() {
    const stored = await executor.enqueueMany(double, [1, 2, 3])
    const closures = await executor.executeAll([4, 5].map(value => async () => 2 * value))
    const outputs = await Promise.all(stored.map(handle => handle.result()))
    await executor.close()
    parentPort.postMessage([...outputs, ...closures])
  }
  main()
`

test('engines of several threads work beside each other, each with tasks of its own', async () => {
  const index = new URL('../index.js', import.meta.url).pathname
  const mine = new TaskExecutor({ concurrency: 2 })
  const workers = Array.from({ length: 4 }, () => new Worker(PROGRAM, { eval: true, workerData: index }))
  const answers = workers.map(
    worker => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)),
  )
  const codes = workers.map(worker => new Promise(resolve => worker.once('exit', resolve)))
  const own = await mine.executeAll(Array.from({ length: 1_000 }, (_, at) => async () => at))
  assert.equal(own.length, 1_000)
  for (const answer of answers) assert.deepEqual(await within(answer), [2, 4, 6, 8, 10])
  assert.deepEqual(await within(Promise.all(codes)), [0, 0, 0, 0])
  await mine.close()
})

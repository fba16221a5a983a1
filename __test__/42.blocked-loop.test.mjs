// What goes on while a handler blocks the event loop. The engine needs no loop: timeouts are settled on time, what was
// handed over and not begun goes back, and a loop that hangs loses its tasks and no more.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { defineTask } from '../index.js'
import { blockLoop, failure, never, open, rejection, until, within } from './support/executors.mjs'

test('what a blocked loop has not begun is given back, and runs later exactly once, without the loss of an attempt', async t => {
  const runs = new Map()
  const block = defineTask({
    name: 'block',
    async handler() {
      blockLoop(500)
    },
  })
  const count = defineTask({
    name: 'count',
    async handler(value, ctx) {
      runs.set(value, (runs.get(value) ?? 0) + 1)
      return ctx.attempt
    },
  })
  const executor = open(t, { tasks: [block, count], concurrency: 8 })
  const events = []
  executor.on('lost', event => events.push(event.name))
  const blocking = await executor.enqueue(block, undefined, { priority: 1 })
  const counted = await executor.enqueueMany(
    count,
    Array.from({ length: 200 }, (_, at) => at),
  )
  await within(blocking.result())
  const attempts = await within(Promise.all(counted.map(handle => handle.result())))
  assert.ok(attempts.every(attempt => attempt === 1))
  assert.equal(runs.size, 200)
  assert.ok([...runs.values()].every(times => times === 1))
  assert.deepEqual(events, [])
  for (const handle of counted) assert.equal((await handle.status()).losses, 0)
})

test('a timeout is settled while the loop is blocked', async t => {
  const hang = defineTask({ name: 'hang', timeout: 100, handler: never })
  const executor = open(t, { tasks: [hang], concurrency: 4 })
  const abandoned = []
  executor.on('abandoned', event => abandoned.push(event.id))
  const handle = await executor.enqueue(hang)
  await until(async () => (await handle.status()).state === 'running')
  const local = rejection(executor.execute(never, { timeout: 100 }))
  // The closure has to begin: its time runs from the call of its handler.
  await sleep(5)
  blockLoop(1_000)
  const backAt = Date.now()
  const { state, startedAt, finishedAt, errors } = await handle.status()
  assert.equal(state, 'failed')
  assert.equal(errors[0].code, 'ERR_TASK_TIMEOUT')
  assert.ok(finishedAt - startedAt >= 100, `${finishedAt - startedAt} ms`)
  assert.ok(finishedAt < backAt, `settled ${finishedAt - backAt} ms after the loop came back`)
  assert.equal((await within(local)).code, 'ERR_TASK_TIMEOUT')
  await assert.rejects(within(handle.result()), failure('ERR_TASK_TIMEOUT'))
  await until(() => abandoned.includes(handle.id))
})

test('a task that is handed over to a blocked loop is not timed out before it begins', async t => {
  const block = defineTask({
    name: 'block',
    async handler() {
      blockLoop(500)
    },
  })
  const quick = defineTask({ name: 'quick', timeout: 150, handler: async (_, ctx) => ctx.attempt })
  const executor = open(t, { tasks: [block, quick], concurrency: 2 })
  const blocking = await executor.enqueue(block, undefined, { priority: 1 })
  const behind = await executor.enqueueMany(quick, Array.from({ length: 10 }))
  await within(blocking.result())
  const attempts = await within(Promise.all(behind.map(handle => handle.result())))
  assert.deepEqual(attempts, Array(10).fill(1))
})

test('a loop that hangs beyond stallLimit loses its task, whose late result changes nothing', async t => {
  const executor = open(t, { concurrency: 2, stallLimit: 100 })
  const outcomes = []
  let runs = 0
  const hung = defineTask({
    name: 'hung',
    async handler() {
      runs += 1
      const run = runs
      if (run === 1) blockLoop(700)
      return `run ${run}`
    },
  })
  executor.register(hung)
  for (const type of ['lost', 'completed']) executor.on(type, event => outcomes.push([type, event.output]))
  const handle = await executor.enqueue(hung)
  assert.equal(await within(handle.result()), 'run 2')
  await until(() => outcomes.length === 2)
  assert.deepEqual(outcomes, [
    ['lost', undefined],
    ['completed', 'run 2'],
  ])
  const { losses, errors, state } = await handle.status()
  assert.deepEqual([losses, errors, state, runs], [1, [], 'completed', 2])
})

test('a task that hangs its loop again and again ends as lost', async t => {
  const executor = open(t, { concurrency: 1, stallLimit: 50, maxLosses: 1 })
  const poison = defineTask({
    name: 'poison',
    async handler() {
      blockLoop(450)
    },
  })
  executor.register(poison)
  const handle = await executor.enqueue(poison)
  await assert.rejects(within(handle.result()), failure('ERR_TASK_LOST'))
  assert.equal((await handle.status()).losses, 2)
  assert.equal(await within(executor.execute(async () => 'others run')), 'others run')
})

test('a loop that blocks for less than stallLimit loses nothing', async t => {
  const executor = open(t, { concurrency: 4, stallLimit: 10_000 })
  const starts = []
  const long = defineTask({
    name: 'long',
    async handler(value) {
      starts.push(value)
      blockLoop(400)
      await sleep(10)
      return value
    },
  })
  executor.register(long)
  const handles = await executor.enqueueMany(long, [0, 1, 2])
  assert.deepEqual(await within(Promise.all(handles.map(handle => handle.result()))), [0, 1, 2])
  assert.deepEqual([...starts].sort(), [0, 1, 2])
})

test('a loop that blocks in one thread does not touch the engine of another', async t => {
  const program = `
    const { TaskExecutor, defineTask } = require(require('node:worker_threads').workerData)
    const block = defineTask({ name: 'block', async handler() {
      const until = performance.now() + 800
      while (performance.now() < until);
    } })
    new TaskExecutor({ tasks: [block] }).enqueue(block)
  `
  const executor = open(t, { concurrency: 1 })
  const worker = new Worker(program, {
    eval: true,
    workerData: new URL('../index.js', import.meta.url).pathname,
  })
  const gone = new Promise(resolve => worker.once('exit', resolve))
  const task = defineTask({ name: 'tick', handler: async value => value })
  let done = 0
  while (worker.threadId !== -1) {
    assert.equal(await within((await executor.enqueue(task, done)).result()), done)
    done += 1
    await sleep(1)
  }
  assert.equal(await gone, 0)
  assert.ok(done > 10, `${done} tasks`)
})

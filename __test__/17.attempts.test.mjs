// Attempts from close by: what is kept of them, whose policy counts, and `snooze`, which costs none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, RetryPolicy, TaskExecutor } from '../index.js'
import { failure, never, open, rejection } from './support/executors.mjs'

const quick = attempts => RetryPolicy.fixed(attempts, 1)
// The clock of the queue counts whole milliseconds.
const TICK = 1

test('of a closure that timed out retryIf is asked too', async t => {
  const codes = []
  const retryIf = error => codes.push(error.code) < 2
  const outcome = open(t).execute(never, { timeout: 10, retry: { attempts: 4, base: 0, retryIf } })
  await assert.rejects(outcome, failure('ERR_TASK_TIMEOUT'))
  assert.deepEqual(codes, ['ERR_TASK_TIMEOUT', 'ERR_TASK_TIMEOUT'])
})

test('a delay of a hundred years does not come at once', async t => {
  const executor = open(t)
  let runs = 0
  const work = () => {
    runs += 1
    throw new Error('once')
  }
  const refused = rejection(executor.execute(work, { retry: RetryPolicy.fixed(2, '36525d') }))
  await executor.execute(() => {}, { retry: RetryPolicy.fixed(2, 30) })
  await executor.execute(ctx => (ctx.attempt < 2 ? work() : 0), { retry: RetryPolicy.fixed(2, 30) })
  assert.equal(runs, 2)
  await executor.close({ gracePeriod: 0 })
  assert.equal((await refused).code, 'ERR_EXECUTOR_CLOSED')
})

test('what a call says comes before the definition, and that before the executor', async t => {
  const executor = open(t, { retry: { attempts: 2, base: 0 } })
  const attempts = (task, ...rest) => executor.execute(task, ...rest)
  assert.equal(await attempts(ctx => ctx.maxAttempts), 2)
  assert.equal(await attempts(ctx => ctx.maxAttempts, { retry: { attempts: 4 } }), 4)
  const plain = defineTask({ name: 'plain', handler: (_, ctx) => ctx.maxAttempts })
  const own = defineTask({ name: 'own', retry: { attempts: 3 }, handler: (_, ctx) => ctx.maxAttempts })
  assert.deepEqual(await Promise.all([attempts(plain), attempts(own)]), [2, 3])
  assert.equal(await attempts(own, undefined, { retry: RetryPolicy.none() }), 1)
  const results = [
    executor.enqueue(plain),
    executor.enqueue(own),
    executor.enqueue(own, null, { retry: { attempts: 7 } }),
  ]
  assert.deepEqual(await Promise.all(results.map(async handle => (await handle).result())), [2, 3, 7])
  const byDefault = TaskExecutor.withRetry(RetryPolicy.fixed(6, 1))
  t.after(() => byDefault.close())
  assert.equal(await byDefault.execute(ctx => ctx.maxAttempts), 6)
})

test('every failed attempt of a stored task is kept', async t => {
  const executor = open(t)
  const task = defineTask({
    name: 'flaky',
    retry: quick(25),
    handler: (_, ctx) => {
      throw new TypeError(`failure ${ctx.attempt}`, { cause: new Error('the reason') })
    },
  })
  const handle = await executor.enqueue(task)
  const error = await rejection(handle.result())
  assert.equal(error.code, 'ERR_TASK_FAILED')
  assert.equal(error.cause.name, 'TypeError')
  assert.equal(error.taskId, handle.id)
  const { errors, attempt, state } = await handle.status()
  assert.deepEqual([state, attempt, errors.length], ['failed', 25, 20])
  assert.deepEqual(
    errors.map(one => one.attempt),
    Array.from({ length: 20 }, (_, at) => at + 6),
  )
  for (const one of errors) {
    assert.equal(one.name, 'TypeError')
    assert.equal(one.message, `failure ${one.attempt}`)
    assert.match(one.stack, /17\.attempts/)
    assert.match(one.stack, /the reason/)
    assert.ok(one.at instanceof Date)
  }
})

test('snooze ends the run, costs no attempt, and comes again after its delay', async t => {
  const executor = open(t, { concurrency: 1 })
  const starts = []
  const sleepy = defineTask({
    name: 'sleepy',
    retry: quick(2),
    handler: (_, ctx) => {
      starts.push([ctx.attempt, performance.now()])
      if (starts.length <= 3) ctx.snooze(30)
      if (ctx.attempt === 1) throw new Error('a real failure')
      return 'awake'
    },
  })
  for (const run of [() => executor.execute(sleepy), async () => (await executor.enqueue(sleepy)).result()]) {
    starts.length = 0
    const outcome = run()
    // It gives its slot back meanwhile.
    assert.equal(await executor.execute(() => 'in between'), 'in between')
    assert.equal(await outcome, 'awake')
    assert.deepEqual(
      starts.map(([attempt]) => attempt),
      [1, 1, 1, 1, 2],
    )
    for (const at of [1, 2, 3]) assert.ok(starts[at][1] - starts[at - 1][1] >= 30 - TICK)
  }
  const wrong = defineTask({ name: 'wrong', handler: (_, ctx) => ctx.snooze('a while') })
  await assert.rejects(executor.execute(wrong), /"delay of ctx.snooze\(\)" must be a duration/)
})

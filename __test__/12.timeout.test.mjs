// `timeout`: an attempt ends on time, whatever its handler does, and its slot is free for the next one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, TaskError } from '../index.js'
import { blockLoop, deferred, failure, never, open, rejection, until } from './support/executors.mjs'

test('a handler that never settles is ended, not before its time', async t => {
  const executor = open(t, { concurrency: 1 })
  const since = performance.now()
  const error = await rejection(executor.execute(never, { timeout: 60 }))
  assert.ok(performance.now() - since >= 60)
  assert.ok(error instanceof TaskError)
  assert.equal(error.code, 'ERR_TASK_TIMEOUT')
  assert.match(error.message, /60 ms/)
  assert.equal(error.retryable, true)
  assert.equal(error.attempt, 1)
})

test('its slot is free again', async t => {
  const executor = open(t, { concurrency: 1 })
  const hung = executor.execute(never, { timeout: 30 })
  const next = executor.execute(() => 'next')
  await assert.rejects(hung, failure('ERR_TASK_TIMEOUT'))
  assert.equal(await next, 'next')
})

test('the signal aborts with the error, and cancelled turns true', async t => {
  const executor = open(t)
  const seen = deferred()
  const error = await rejection(
    executor.execute(
      ctx => {
        ctx.signal.addEventListener('abort', () => seen.resolve([ctx.signal.reason, ctx.cancelled]))
        return never()
      },
      { timeout: 30 },
    ),
  )
  assert.deepEqual(await seen.promise, [error, true])
  assert.equal((await seen.promise)[0], error)
})

test('a signal that is asked for too late has aborted already', async t => {
  const executor = open(t)
  const seen = deferred()
  const gate = deferred()
  const run = executor.execute(
    async ctx => {
      await gate.promise
      seen.resolve([ctx.cancelled, ctx.signal.aborted, ctx.signal.reason?.code])
    },
    { timeout: 20 },
  )
  await assert.rejects(run, failure('ERR_TASK_TIMEOUT'))
  gate.resolve()
  assert.deepEqual(await seen.promise, [true, true, 'ERR_TASK_TIMEOUT'])
})

test('who ends in time is not touched', async t => {
  const executor = open(t)
  assert.equal(await executor.execute(() => 'quick', { timeout: '36525d' }), 'quick')
  assert.equal(await executor.execute(() => sleep(30, 'slow'), { timeout: '36525d' }), 'slow')
  let aborted = false
  await executor.execute(
    ctx => {
      ctx.signal.addEventListener('abort', () => {
        aborted = true
      })
    },
    { timeout: 30 },
  )
  await sleep(60)
  assert.equal(aborted, false)
})

test('a handler that blocks the loop past its time has failed too, whatever it gives', async t => {
  const executor = open(t, { concurrency: 1, maxAbandoned: 2 })
  for (let round = 0; round < 5; round += 1) {
    const late = executor.execute(() => blockLoop(60), { timeout: 20 })
    await assert.rejects(late, failure('ERR_TASK_TIMEOUT'))
    const lateThrow = executor.execute(
      () => {
        blockLoop(60)
        throw new Error('late')
      },
      { timeout: 20 },
    )
    await assert.rejects(lateThrow, failure('ERR_TASK_TIMEOUT'))
  }
  // All of them have ended after all: none of them counts as abandoned.
  assert.equal(await executor.execute(() => 'free'), 'free')
})

test('what a handler does after its time is ignored, also while its slot is in use again', async t => {
  const executor = open(t, { concurrency: 1 })
  const gates = { resolves: deferred(), rejects: deferred() }
  for (const gate of Object.values(gates)) {
    const hung = executor.execute(() => gate.promise, { timeout: 20 })
    await assert.rejects(hung, failure('ERR_TASK_TIMEOUT'))
  }
  const running = deferred()
  const started = deferred()
  const next = executor.execute(
    () => {
      started.resolve()
      return running.promise
    },
    { timeout: '1h' },
  )
  let order = ''
  const last = executor.execute(() => {
    order += 'last'
  })
  await started.promise
  gates.resolves.resolve('too late')
  gates.rejects.reject(new Error('too late'))
  await sleep(20)
  assert.equal(order, '')
  running.resolve('mine')
  assert.equal(await next, 'mine')
  await last
})

test('an end and a time-out in the same turn give one outcome, and the slot to one task', async t => {
  const executor = open(t, { concurrency: 1 })
  for (let round = 0; round < 5; round += 1) {
    const outcome = executor
      .execute(async () => blockLoop(40), { timeout: 10 })
      .then(
        () => 'ended',
        error => error.code,
      )
    // Submitted in the very tick in which the first one ends.
    const next = outcome.then(() => executor.execute(() => sleep(30, 'fresh'), { timeout: '1h' }))
    assert.equal(await outcome, 'ERR_TASK_TIMEOUT')
    assert.equal(await next, 'fresh')
  }
})

test('an end that is reported late is one outcome too, and spares whoever has the slot next', async t => {
  const executor = open(t, { concurrency: 2 })
  // So many tasks in one go make the executor wait for the next turn of the loop before it reports anything.
  const busy = async () => {
    await executor.executeAll(Array.from({ length: 600 }, () => () => {}))
    blockLoop(10)
    await executor.executeAll(Array.from({ length: 600 }, () => () => {}))
  }
  const outcome = executor.execute(busy, { timeout: 300 }).then(
    () => 'ended',
    error => error.code,
  )
  const next = outcome.then(() => {
    blockLoop(400)
    return executor.execute(() => sleep(30, 'fresh'), { timeout: '1h' })
  })
  assert.ok(['ended', 'ERR_TASK_TIMEOUT'].includes(await outcome))
  assert.equal(await next, 'fresh')
})

test('an attempt that was not begun while the loop was blocked has not failed', async t => {
  const executor = open(t, { concurrency: 3 })
  let attempt
  const [blocker, second, third] = await Promise.allSettled([
    executor.execute(() => blockLoop(120), { timeout: 30 }),
    executor.execute(
      ctx => {
        attempt = ctx.attempt
        return 'in its own time'
      },
      { timeout: 30 },
    ),
    executor.execute(() => 'no limit'),
  ])
  assert.equal(blocker.reason.code, 'ERR_TASK_TIMEOUT')
  assert.equal(second.value, 'in its own time')
  assert.equal(attempt, 1)
  assert.equal(third.value, 'no limit')
})

test('the time of an attempt begins when its handler does', async t => {
  const executor = open(t, { concurrency: 1 })
  const first = executor.execute(() => sleep(80))
  const second = executor.execute(() => 'it has waited longer than that', { timeout: 40 })
  await first
  assert.equal(await second, 'it has waited longer than that')
})

test('stored tasks: on time, once, and what comes later is ignored', async t => {
  const gate = deferred()
  let reason
  const hang = defineTask({
    name: 'hang',
    timeout: 40,
    handler: async (_, ctx) => {
      ctx.signal.addEventListener('abort', () => {
        reason = ctx.signal.reason
      })
      await gate.promise
      return 'too late'
    },
  })
  const executor = open(t, { concurrency: 1 })
  const since = performance.now()
  const handle = await executor.enqueue(hang)
  const next = await executor.enqueue(defineTask({ name: 'next', handler: () => 'next' }))
  const error = await rejection(handle.result())
  assert.ok(performance.now() - since >= 40)
  assert.equal(error.code, 'ERR_TASK_TIMEOUT')
  assert.equal(error.taskId, handle.id)
  await until(() => reason)
  assert.equal(reason.code, 'ERR_TASK_TIMEOUT')
  assert.equal(await next.result(), 'next')
  gate.resolve()
  await sleep(20)
  const status = await handle.status()
  assert.equal(status.state, 'failed')
  assert.equal('output' in status, false)
  assert.deepEqual(
    status.errors.map(({ attempt, code }) => [attempt, code]),
    [[1, 'ERR_TASK_TIMEOUT']],
  )
})

test('stored tasks: a handler that blocks the loop has failed, one that was not begun has not', async t => {
  const block = defineTask({ name: 'block', timeout: 30, handler: () => blockLoop(120) })
  const quick = defineTask({ name: 'quick', timeout: 30, handler: (_, ctx) => ctx.attempt })
  const executor = open(t, { concurrency: 2 })
  await executor.pause()
  const [blocker, other] = await Promise.all([executor.enqueue(block), executor.enqueue(quick)])
  await executor.resume()
  await assert.rejects(blocker.result(), failure('ERR_TASK_TIMEOUT'))
  assert.equal(await other.result(), 1)
  assert.deepEqual((await other.status()).errors, [])
})

test('beyond maxAbandoned nothing starts until one of those handlers ends', async t => {
  const executor = open(t, { concurrency: 4, maxAbandoned: 1 })
  const gates = [deferred(), deferred()]
  const hang = defineTask({ name: 'hang', timeout: 20, handler: () => gates[1].promise })
  await assert.rejects(
    executor.execute(() => gates[0].promise, { timeout: 20 }),
    failure('ERR_TASK_TIMEOUT'),
  )
  await assert.rejects((await executor.enqueue(hang)).result(), failure('ERR_TASK_TIMEOUT'))
  let started = 0
  const closure = executor.execute(() => ++started)
  const stored = await executor.enqueue(defineTask({ name: 'count', handler: () => ++started }))
  await sleep(60)
  assert.equal(started, 0)
  gates[1].resolve()
  await closure
  await stored.result()
  gates[0].resolve()
  assert.equal(started, 2)
})

test('maxAbandoned: 0 starts nothing once a handler has been left behind', async t => {
  const executor = open(t, { concurrency: 2, maxAbandoned: 0 })
  const gate = deferred()
  await assert.rejects(
    executor.execute(() => gate.promise, { timeout: 20 }),
    failure('ERR_TASK_TIMEOUT'),
  )
  const next = executor.execute(() => 'next')
  gate.resolve()
  assert.equal(await next, 'next')
})

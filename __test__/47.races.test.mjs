// What the engine decides while JavaScript is looking elsewhere: each test blocks the loop, or answers in the very
// tick in which the engine has already spoken. Nobody else's task may be touched, and every promise settles.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep, setImmediate as tick } from 'node:timers/promises'
import { defineTask } from '../index.js'
import {
  blockLoop,
  deferred,
  failure,
  never,
  occupy,
  open,
  rejection,
  until,
  within,
} from './support/executors.mjs'

test('a handler that blocks past its timeout has timed out, and the next task in its slot is not touched', async t => {
  const executor = open(t, { concurrency: 1, maxAbandoned: 2 })
  // More often than may be abandoned: each handler has ended, so none of them counts as abandoned.
  for (let round = 0; round < 5; round += 1) {
    const late = executor.execute(
      () => {
        blockLoop(30)
        return 'late'
      },
      { timeout: 5 },
    )
    const next = late
      .catch(() => {})
      .then(() => executor.execute(async () => `next ${round}`, { timeout: 5_000 }))
    await assert.rejects(within(late), failure('ERR_TASK_TIMEOUT'))
    assert.equal(await within(next), `next ${round}`)
  }
})

test('an attempt that blocks past its timeout is followed by one other, whose end is its own', async t => {
  const executor = open(t, { concurrency: 1 })
  for (const base of [0, 10]) {
    const seen = []
    const retried = executor.execute(
      ctx => {
        seen.push(ctx.attempt)
        if (ctx.attempt === 1) blockLoop(300)
        return ctx.attempt
      },
      { timeout: 200, retry: { attempts: 2, base, jitter: 'none' } },
    )
    const others = Array.from({ length: 20 }, (_, at) => executor.execute(async () => at))
    assert.equal(await within(retried), 2)
    assert.deepEqual(seen, [1, 2])
    assert.deepEqual(await within(Promise.all(others)), [...others.keys()])
  }
  await within(executor.onIdle())
})

test('a run that was started several times while the loop was blocked runs once, and its slot is not started for others', async t => {
  const executor = open(t, { concurrency: 1 })
  let runs = 0
  const retried = executor.execute(
    () => {
      runs += 1
      if (runs === 1) throw new Error('once')
      return runs
    },
    { timeout: 200, retry: { attempts: 5, base: 5, jitter: 'none' } },
  )
  // The backoff ends while the loop is blocked, and so does the time that a run may take to begin, again and again.
  await until(() => runs === 1)
  blockLoop(500)
  assert.equal(await within(retried), 2)
  let running = 0
  let most = 0
  const work = async () => {
    running += 1
    most = Math.max(most, running)
    await tick()
    running -= 1
  }
  await within(Promise.all(Array.from({ length: 10 }, () => executor.execute(work))))
  assert.equal(most, 1)
  assert.equal(runs, 2)
})

test('a signal that aborts between the start and the handler keeps the handler from running', async t => {
  const executor = open(t, { concurrency: 1, cancelGrace: 0 })
  for (const wait of [0, 20]) {
    const abort = new AbortController()
    let ran = false
    const work = executor.execute(
      () => {
        ran = true
      },
      { signal: abort.signal },
    )
    // The turn that starts it is the next microtask: this one comes after the start and before the handler.
    queueMicrotask(() => {
      abort.abort(new Error('no more'))
      blockLoop(wait)
    })
    assert.equal((await rejection(within(work))).message, 'no more')
    assert.equal(ran, false)
    assert.equal(await within(executor.execute(async () => 'next')), 'next')
    await tick()
    assert.equal(ran, false)
  }
})

test('a handler that ends while the engine gives it up frees its slot once', async t => {
  const executor = open(t, { concurrency: 1, cancelGrace: 5, maxAbandoned: 1 })
  for (let round = 0; round < 4; round += 1) {
    const abort = new AbortController()
    const began = deferred()
    const gone = deferred()
    const work = executor.execute(
      async () => {
        began.resolve()
        await gone.promise
      },
      { signal: abort.signal },
    )
    await within(began.promise)
    abort.abort(new Error('stop'))
    await rejection(work)
    // The engine hears of the abort, then gives the run up while the loop is blocked, in which the handler ends too.
    await tick()
    gone.resolve()
    blockLoop(20)
    const next = await within(
      Promise.all([1, 2, 3].map(value => executor.execute(async () => value, { timeout: 5_000 }))),
    )
    assert.deepEqual(next, [1, 2, 3])
  }
})

test('a timeout and a close in one breath leave no promise behind', async t => {
  const executor = open(t, { concurrency: 2 })
  const began = deferred()
  const hung = executor.execute(
    () => {
      began.resolve()
      return never()
    },
    { timeout: 30, retry: { attempts: 3, base: 10_000, jitter: 'none' } },
  )
  await within(began.promise)
  const outcome = rejection(within(hung))
  // The timeout comes while the loop is blocked: its word waits, and the close finds the task in its backoff.
  blockLoop(80)
  await within(executor.close({ gracePeriod: 0 }))
  assert.equal((await outcome).code, 'ERR_EXECUTOR_CLOSED')
})

test('a close without grace refuses what was started and not begun', async t => {
  const executor = open(t, { concurrency: 4 })
  let ran = 0
  const work = () => {
    ran += 1
    return never()
  }
  const outcomes = [executor.execute(work), executor.execute(work, { timeout: 60_000 })].map(rejection)
  const closed = executor.close({ gracePeriod: 0 })
  blockLoop(50)
  await within(closed)
  const begun = ran
  await tick()
  assert.equal(ran, begun, 'a handler began after the close')
  if (begun === 0)
    for (const outcome of outcomes) assert.equal((await within(outcome)).code, 'ERR_EXECUTOR_CLOSED')
  else assert.equal((await within(outcomes[1])).code, 'ERR_EXECUTOR_CLOSED')
})

test('a snoozed run that the close finds asleep is refused as closed', async t => {
  const task = defineTask({ name: 'sleepy', handler: (_, ctx) => ctx.snooze(10_000) })
  const executor = open(t, { tasks: [task] })
  const outcome = rejection(executor.execute(task, undefined))
  await sleep(20)
  await within(executor.close({ gracePeriod: 0 }))
  assert.equal((await within(outcome)).code, 'ERR_EXECUTOR_CLOSED')

  const other = open(t, { tasks: [task] })
  const asked = deferred()
  const late = defineTask({
    name: 'late',
    async handler(_, ctx) {
      asked.resolve()
      await sleep(30)
      ctx.snooze(10_000)
    },
  })
  const end = rejection(other.execute(late, undefined))
  await asked.promise
  await within(other.close({ gracePeriod: 5_000 }))
  assert.equal((await within(end)).code, 'ERR_EXECUTOR_CLOSED')
})

test('the outcome of a task whose waiter has gone never reaches the next waiter', async t => {
  const quick = defineTask({ name: 'quick', handler: async value => value })
  const executor = open(t, { tasks: [quick], concurrency: 2 })
  const slow = defineTask({ name: 'slow', handler: () => sleep(60).then(() => 'of the other') })
  executor.register(slow)
  let raced = 0
  for (let round = 0; round < 40 && raced < 3; round += 1) {
    const gate = deferred()
    const gated = defineTask({ name: `gated ${round}`, handler: () => gate.promise })
    executor.register(gated)
    const first = await executor.enqueue(gated)
    const second = await executor.enqueue(slow)
    const abort = new AbortController()
    const left = first.result({ signal: abort.signal }).catch(error => error.message)
    await until(async () => (await first.status()).state === 'running')
    gate.resolve('of the first')
    // Microtasks only: the end is reported in one of them, and mail that comes later waits for the loop to turn.
    for (let step = 0; step < 50; step += 1) await undefined
    blockLoop(10)
    abort.abort(new Error('gone'))
    const other = second.result({ signal: new AbortController().signal })
    raced += (await left) === 'gone' ? 1 : 0
    assert.equal(await within(other), 'of the other')
  }
  assert.ok(raced > 0, 'no outcome was on its way when its waiter went')
})

test('a stored run that timed out is aborted, and the run that took over its slot is not', async t => {
  const aborted = []
  const done = deferred()
  const hang = defineTask({
    name: 'hang',
    timeout: 40,
    async handler(value, ctx) {
      ctx.signal.addEventListener('abort', () => aborted.push(value))
      await never()
    },
  })
  const live = defineTask({
    name: 'live',
    async handler(value, ctx) {
      ctx.signal.addEventListener('abort', () => aborted.push(value))
      await sleep(50)
      if (value === 'last') done.resolve()
      return ctx.signal.aborted
    },
  })
  const executor = open(t, { tasks: [hang, live], concurrency: 1 })
  const first = await executor.enqueue(hang, 'hung')
  await until(async () => (await first.status()).state === 'running')
  const second = await executor.enqueue(live, 'last')
  // Timed out, settled and replaced while the loop is blocked: one mail brings the stop and the start.
  blockLoop(100)
  assert.equal(await within(second.result()), false)
  await within(done.promise)
  assert.deepEqual(aborted, ['hung'])
  await assert.rejects(within(first.result()), failure('ERR_TASK_TIMEOUT'))
})

test('a kind that is full does not keep other kinds from free slots', async t => {
  const gate = deferred()
  const narrow = defineTask({ name: 'narrow', concurrency: 1, handler: () => gate.promise })
  const wide = defineTask({ name: 'wide', handler: async value => value })
  const executor = open(t, { tasks: [narrow, wide], concurrency: 2 })
  const stuck = await executor.enqueueMany(narrow, Array.from({ length: 6 }))
  await until(async () => (await executor.counts()).running > 0)
  const free = await executor.enqueueMany(wide, [1, 2, 3])
  assert.deepEqual(
    await within(Promise.all(free.map(handle => handle.result())), 5_000, 'the wide kind'),
    [1, 2, 3],
  )
  gate.resolve('ok')
  await within(Promise.all(stuck.map(handle => handle.result())))
})

test('with nothing allowed to be abandoned, tasks still run', async t => {
  const executor = open(t, { concurrency: 1, maxAbandoned: 0 })
  assert.equal(
    await within(
      executor.execute(async () => 1),
      5_000,
    ),
    1,
  )
  const task = defineTask({ name: 'stored', handler: async () => 2 })
  assert.equal(await within((await executor.enqueue(task)).result(), 5_000), 2)
  // One handler outlives its attempt: that is one more than allowed, until it ends.
  const gate = deferred()
  await rejection(executor.execute(() => gate.promise, { timeout: 10 }))
  let ran = false
  const waits = executor.execute(async () => {
    ran = true
  })
  await sleep(30)
  assert.equal(ran, false)
  gate.resolve()
  await within(waits)
})

test('a task that was there before and has ended is answered at once, however many others are awaited', async t => {
  const task = defineTask({ name: 'one', handler: async value => value })
  const executor = open(t, { tasks: [task] })
  const waiting = await executor.enqueueMany(
    task,
    Array.from({ length: 3_000 }, (_, at) => at),
    { delay: '1h' },
  )
  for (const handle of waiting) handle.result().catch(() => {})
  await within((await executor.enqueue(task, 7, { id: 'known' })).result())
  const again = await executor.enqueue(task, 7, { id: 'known' })
  assert.equal(again.created, false)
  assert.equal(await within(again.result(), 5_000), 7)
})

test('occupied slots and released ones stay in step over many aborted waiters', async t => {
  const executor = open(t, { concurrency: 2 })
  const { release } = await occupy(executor, 2)
  const outcomes = []
  for (let at = 0; at < 5_000; at += 1) {
    const abort = new AbortController()
    outcomes.push(
      executor
        .execute(async () => at, { signal: abort.signal, priority: at % 7 })
        .catch(error => error.message),
    )
    if (at % 2 === 0) abort.abort(new Error(`gone ${at}`))
  }
  await release()
  assert.deepEqual(
    await within(Promise.all(outcomes)),
    outcomes.map((_, at) => (at % 2 === 0 ? `gone ${at}` : at)),
  )
})

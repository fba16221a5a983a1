// `close`: takes nothing new, gives what runs its time, and ends in any case: within the grace and two seconds.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'
import { defineTask, TaskExecutor } from '../index.js'
import { blockLoop, deferred, failure, never, open, rejection, until, within } from './support/executors.mjs'
import { runProgram } from './support/programs.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const numbers = count => Array.from({ length: count }, (_, at) => at)
const CLOSED = 'ERR_EXECUTOR_CLOSED'

/** Closes, and checks that it kept its promise. */
async function closeInTime(executor, gracePeriod) {
  const since = performance.now()
  await within(executor.close({ gracePeriod }))
  const took = performance.now() - since
  assert.ok(took <= gracePeriod + 2_000, `it took ${took} ms with a grace of ${gracePeriod} ms`)
  return took
}

test('before anything has happened', async () => {
  await closeInTime(new TaskExecutor(), 0)
  const executor = new TaskExecutor({ tasks: [echo] })
  await executor.start()
  await closeInTime(executor, 8_000)
})

test('twice, many times at once, and afterwards: one end', async () => {
  const executor = new TaskExecutor()
  const run = executor.execute(() => sleep(20, 'done'))
  await nextLoop()
  const closes = numbers(20).map(() => executor.close())
  assert.equal(new Set(closes).size, 1)
  await within(Promise.all(closes))
  assert.equal(await run, 'done')
  await within(executor.close())
  await within(executor.close({ gracePeriod: 0 }))
})

test('what runs may end, what waits is refused', async () => {
  const executor = new TaskExecutor({ concurrency: 1 })
  const gate = deferred()
  const started = deferred()
  const running = executor.execute(() => [started.resolve(), gate.promise][1])
  const waiting = [
    undefined,
    { timeout: '1h' },
    { retry: { attempts: 3 } },
    { signal: new AbortController().signal },
  ].map(options => executor.execute(() => assert.fail('it was run'), options))
  await started.promise
  const closed = executor.close()
  for (const outcome of await within(Promise.allSettled(waiting))) assert.equal(outcome.reason.code, CLOSED)
  gate.resolve('in time')
  assert.equal(await running, 'in time')
  await within(closed)
})

test('signals abort at half of the grace, with a reason', async () => {
  const executor = new TaskExecutor({ concurrency: 4 })
  const seen = []
  const work = ctx =>
    new Promise((_, reject) => {
      ctx.signal.addEventListener('abort', () => {
        seen.push([ctx.signal.reason.code, ctx.cancelled])
        reject(ctx.signal.reason)
      })
    })
  const task = defineTask({ name: 'task', handler: (_, ctx) => work(ctx) })
  const ends = [executor.execute(work), executor.execute(work, { timeout: '1h' }), executor.execute(task)]
  const handle = await executor.enqueue(task)
  const codes = Promise.all([...ends, handle.result()].map(async end => (await rejection(end)).code))
  await until(async () => (await handle.status()).state === 'running')
  await nextLoop()
  const took = await closeInTime(executor, 100)
  assert.ok(took >= 50, `it took ${took} ms`)
  assert.deepEqual(await within(codes), Array(4).fill(CLOSED))
  assert.deepEqual(seen, Array(4).fill([CLOSED, true]))
})

test('a handler that hangs holds nothing up', async () => {
  const executor = new TaskExecutor({ concurrency: 3 })
  const hang = defineTask({ name: 'hang', handler: never })
  // Of a plain closure nobody but its own function can settle the promise.
  executor.execute(never)
  const ends = [executor.execute(never, { timeout: '1h' }), executor.execute(hang)]
  const handle = await executor.enqueue(hang)
  const codes = Promise.all([...ends, handle.result()].map(async end => (await rejection(end)).code))
  const took = await closeInTime(executor, 60)
  assert.ok(took >= 60)
  assert.deepEqual(await within(codes), Array(3).fill(CLOSED))
})

test('a grace of zero ends it now, and signals abort all the same', async () => {
  const executor = new TaskExecutor({ concurrency: 3 })
  const signals = []
  const hang = ctx => {
    signals.push(ctx.signal)
    return never()
  }
  const task = defineTask({ name: 'task', handler: (_, ctx) => hang(ctx) })
  const handle = await executor.enqueue(task)
  const result = rejection(handle.result())
  executor.execute(hang)
  const hung = rejection(executor.execute(hang, { timeout: '1h' }))
  await until(() => signals.length === 3)
  await closeInTime(executor, 0)
  assert.deepEqual([(await within(hung)).code, (await within(result)).code], [CLOSED, CLOSED])
  await until(() => signals.every(signal => signal.aborted))
  assert.deepEqual(
    signals.map(signal => signal.reason.code),
    [CLOSED, CLOSED, CLOSED],
  )
})

test('inside a handler', async () => {
  for (const options of [undefined, { timeout: '1h' }]) {
    const executor = new TaskExecutor()
    const closed = deferred()
    const run = executor.execute(() => {
      closed.resolve(executor.close({ gracePeriod: 50 }))
      return 'closing'
    }, options)
    assert.equal(await within(run), 'closing')
    await within(closed.promise)
  }
  // Whoever waits for it inside waits for itself: the grace ends that.
  const executor = new TaskExecutor()
  const self = executor.execute(() => executor.close({ gracePeriod: 50 }), { timeout: '1h' })
  assert.equal((await rejection(within(self))).code, CLOSED)
  const other = new TaskExecutor()
  const task = defineTask({ name: 'task', handler: () => void other.close({ gracePeriod: 1_000 }) })
  const handle = await other.enqueue(task)
  assert.equal(await within(handle.result()), null)
  await within(other.close())
})

test('inside an event listener, and inside an abort listener', async () => {
  for (const word of ['waiting', 'running', 'completed', 'idle']) {
    const executor = new TaskExecutor()
    const closed = new Promise(resolve =>
      executor.on(word, () => resolve(executor.close({ gracePeriod: 50 }))),
    )
    const handle = await executor.enqueue(echo, 1).catch(error => error)
    await within(closed)
    if (handle.result) await within(handle.result().catch(error => assert.equal(error.code, CLOSED)))
  }
  const executor = new TaskExecutor()
  const closed = deferred()
  const hung = executor.execute(
    ctx => {
      ctx.signal.addEventListener('abort', () => closed.resolve(executor.close({ gracePeriod: 20 })))
      return never()
    },
    { timeout: 10 },
  )
  await assert.rejects(hung, failure('ERR_TASK_TIMEOUT'))
  await within(closed.promise)
})

test('an abort listener that throws, or goes on using the executor, is no obstacle', async t => {
  const { code, stdout } = await runProgram(
    t,
    `
    process.on('uncaughtException', error => console.log(error.message))
    const executor = new TaskExecutor()
    const refused = []
    executor.execute(ctx => {
      ctx.signal.addEventListener('abort', () => {
        executor.execute(() => {}).catch(error => refused.push(error.code))
        throw new Error('bad listener')
      })
      return new Promise(() => {})
    })
    await new Promise(setImmediate)
    await executor.close({ gracePeriod: 20 })
    console.log(refused.join())
  `,
  )
  assert.deepEqual([code, stdout.trim().split('\n')], [0, ['bad listener', CLOSED]])
})

test('with ten thousand queued, closures and stored tasks', async () => {
  const executor = new TaskExecutor({ concurrency: 2 })
  const gate = await executor.enqueue(defineTask({ name: 'hang', handler: never }))
  const waiting = numbers(5_000).map(n =>
    executor.execute(() => sleep(1), n % 2 ? { timeout: '1h' } : undefined),
  )
  const handles = await executor.enqueueMany(echo, numbers(5_000))
  const results = handles.map(handle => handle.result())
  const settled = within(Promise.allSettled([...waiting, ...results, gate.result()]))
  await closeInTime(executor, 50)
  const ends = await settled
  const codes = new Set(ends.filter(end => end.status === 'rejected').map(end => end.reason.code))
  assert.deepEqual([...codes], [CLOSED])
  assert.ok(ends.filter(end => end.status === 'rejected').length > 9_000)
})

test('in the tick of the calls', async () => {
  const executor = new TaskExecutor()
  const calls = [
    executor.execute(() => 1),
    executor.execute(() => 2, { timeout: '1h' }),
    executor.enqueue(echo, 3).then(handle => handle.result()),
    executor.enqueueMany(echo, [4]).then(([handle]) => handle.result()),
    executor.counts(),
    executor.onIdle(),
  ]
  const closed = executor.close()
  for (const { status, reason } of await within(Promise.allSettled(calls))) {
    if (status === 'rejected') assert.equal(reason.code, CLOSED)
  }
  await within(closed)
})

test('while paused, with delayed, blocked and retried tasks', async () => {
  const executor = new TaskExecutor()
  const fails = defineTask({
    name: 'fails',
    retry: { attempts: 9, base: '1h' },
    handler: () => Promise.reject(1),
  })
  const delayed = await executor.enqueue(echo, 1, { delay: '1h' })
  const blocked = await executor.enqueue(echo, 1, { after: [delayed] })
  const retried = await executor.enqueue(fails)
  const local = executor.execute(() => Promise.reject(1), { retry: { attempts: 9, base: '1h' } })
  await until(async () => (await retried.status()).attempt === 2)
  await executor.pause()
  const results = [delayed, blocked, retried].map(handle => handle.result())
  await closeInTime(executor, 8_000)
  for (const pending of [...results, local]) assert.equal((await rejection(within(pending))).code, CLOSED)
})

test('with a loop that is blocked for longer than the grace', async () => {
  const executor = new TaskExecutor()
  const handle = await executor.enqueue(echo, 1)
  const run = executor.execute(() => sleep(10, 'run'))
  const closed = executor.close({ gracePeriod: 30 })
  blockLoop(150)
  await within(closed)
  await within(Promise.allSettled([run, handle.result()]))
})

test('a close of one executor leaves the others alone', async t => {
  const [one, two] = [new TaskExecutor(), open(t)]
  const run = two.execute(() => sleep(50, 'still there'))
  await one.close()
  assert.equal(await run, 'still there')
  assert.equal(await (await two.enqueue(echo, 5)).result(), 5)
})

test('fifty executors, one after the other and all at once', async () => {
  for (const n of numbers(50)) {
    const executor = new TaskExecutor()
    assert.equal(await executor.execute(() => n), n)
    await within(executor.close())
  }
  const all = numbers(50).map(() => new TaskExecutor())
  await Promise.all(
    all.map(async (executor, n) => assert.equal(await (await executor.enqueue(echo, n)).result(), n)),
  )
  await within(Promise.all(all.map(executor => executor.close())))
})

test('Symbol.asyncDispose closes', async () => {
  const executor = new TaskExecutor()
  await executor[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]()
  await assert.rejects(
    executor.execute(() => {}),
    failure(CLOSED),
  )
})

test('afterwards the process ends by itself, whatever was left behind', async t => {
  const { code, stdout } = await runProgram(
    t,
    `
    const executor = new TaskExecutor()
    executor.execute(() => new Promise(() => {}))
    executor.execute(() => new Promise(() => {}), { timeout: '1h' }).catch(() => {})
    const hang = defineTask({ name: 'hang', handler: () => new Promise(() => {}) })
    await executor.enqueue(hang)
    await executor.enqueue(hang, 1, { delay: '1h' })
    await executor.close({ gracePeriod: 20 })
    console.log('closed')
  `,
  )
  assert.deepEqual([code, stdout.trim()], [0, 'closed'])
})

// Every method in every state of an executor: what it does, and that it settles.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, TaskExecutor } from '../index.js'
import { collect, deferred, never, rejection, within } from './support/executors.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const CLOSED = 'ERR_EXECUTOR_CLOSED'

// What each call gives while the executor is open; `undefined` counts. A handle and its task are there for all.
const methods = {
  execute: [executor => executor.execute(() => 1), 1],
  'execute of a definition': [executor => executor.execute(echo, 2), 2],
  'execute with options': [executor => executor.execute(() => 3, { timeout: '1h', priority: 1 }), 3],
  executeAll: [executor => executor.executeAll([() => 1, () => 2]), [1, 2]],
  enqueue: [async executor => (await executor.enqueue(echo, 4)).created, true],
  enqueueMany: [async executor => (await executor.enqueueMany(echo, [1, 2])).length, 2],
  'enqueueMany of nothing': [executor => executor.enqueueMany(echo, []), []],
  start: [executor => executor.start(), undefined],
  'pause of a queue': [executor => executor.pause('another'), undefined],
  'resume of a queue': [executor => executor.resume('another'), undefined],
  get: [async (executor, handle) => (await executor.get(handle.id)).input, 'kept'],
  list: [async executor => (await collect(executor.list({ limit: 1 }))).length, 1],
  counts: [async executor => typeof (await executor.counts()).waiting, 'number'],
  retryAll: [executor => executor.retryAll({ queue: 'nobody' }), 0],
  cancelAll: [executor => executor.cancelAll({ queue: 'nobody' }), 0],
  prune: [executor => executor.prune({ queue: 'nobody' }), 0],
  'handle.status': [async (_, handle) => (await handle.status()).state, 'scheduled'],
  'handle.promote': [async (_, handle) => typeof (await handle.promote()), 'boolean'],
  'handle.reschedule': [async (_, handle) => handle.reschedule(new Date(8.64e15 - 1)), true],
  'handle.setPriority': [async (_, handle) => handle.setPriority(Math.floor(performance.now())), true],
  'handle.retry': [(_, handle) => handle.retry(), false],
  'handle.cancel': [async (_, handle) => typeof (await handle.cancel()), 'boolean'],
}
// These have an answer in every state.
const always = {
  onIdle: executor => executor.onIdle(),
  ref: async executor => assert.equal(executor.ref(), executor),
  unref: async executor => assert.equal(executor.unref(), executor),
  'unref and ref': async executor => assert.equal(executor.unref().ref(), executor),
  on: async executor =>
    assert.equal(
      executor.on('completed', () => {}),
      executor,
    ),
  events: async executor => assert.equal((await executor.events().return()).done, true),
  register: async executor => executor.register(echo),
  'a wrong option': async executor =>
    assert.equal((await rejection(executor.execute(() => {}, 5))).code, 'ERR_OPTION'),
}

const parked = { delay: '36500d' }

/** An executor with a task that does not start by itself. */
async function prepared(options) {
  const executor = new TaskExecutor({ concurrency: 4, tasks: [echo], ...options })
  return { executor, handle: await executor.enqueue(echo, 'kept', parked) }
}

const open = {
  'before start': async () => {
    const { handle, executor } = await prepared()
    return { executor, handle }
  },
  running: async () => {
    const { executor, handle } = await prepared()
    await executor.start()
    await (await executor.enqueue(echo, 1)).result()
    return { executor, handle }
  },
  'busy in every slot but one': async () => {
    const { executor, handle } = await prepared()
    const gate = deferred()
    const ends = [1, 2, 3].map(() => executor.execute(() => gate.promise))
    return { executor, handle, release: () => [gate.resolve(), Promise.all(ends)][1] }
  },
}

for (const [state, prepare] of Object.entries(open)) {
  for (const [method, [call, wanted]] of Object.entries(methods)) {
    test(`${state}: ${method}`, async () => {
      const { executor, handle, release } = await prepare()
      assert.deepEqual(await within(call(executor, handle)), wanted)
      await release?.()
      await within(executor.close({ gracePeriod: 0 }))
    })
  }
}

test('never started: what asks and what runs closures works as well', async () => {
  for (const [method, [call, wanted]] of Object.entries(methods)) {
    if (method.startsWith('handle') || ['get', 'list'].includes(method)) continue
    const executor = new TaskExecutor({ tasks: [echo] })
    assert.deepEqual(await within(call(executor)), wanted, method)
    await within(executor.close())
  }
  const executor = new TaskExecutor()
  assert.deepEqual(await collect(executor.list()), [])
  assert.equal(await executor.get('nobody'), undefined)
  await executor.close()
})

test('paused: everything answers but what has to run', async () => {
  const waits = new Set(['execute', 'execute of a definition', 'execute with options', 'executeAll'])
  for (const [method, [call, wanted]] of Object.entries(methods)) {
    const { executor, handle } = await prepared()
    await executor.pause()
    const answer = call(executor, handle)
    if (waits.has(method)) await executor.resume()
    assert.deepEqual(await within(answer), wanted, method)
    await within(executor.close({ gracePeriod: 0 }))
  }
})

test('inside a handler, of a closure and of a stored task', async () => {
  for (const [method, [call, wanted]] of Object.entries(methods)) {
    const { executor, handle } = await prepared()
    assert.deepEqual(await within(executor.execute(() => call(executor, handle))), wanted, method)
    const inner = defineTask({ name: 'inner', handler: async () => (await call(executor, handle)) ?? null })
    if (!method.startsWith('handle')) {
      assert.deepEqual(await within((await executor.enqueue(inner)).result()), wanted ?? null, method)
    }
    await within(executor.close({ gracePeriod: 0 }))
  }
})

test('closing: what is new is refused at once, while what runs goes on', async () => {
  const { executor, handle } = await prepared()
  const gate = deferred()
  const started = deferred()
  const running = executor.execute(() => [started.resolve(), gate.promise][1])
  await started.promise
  const closed = executor.close()
  for (const [method, [call]] of Object.entries(methods)) {
    assert.equal((await rejection(within(call(executor, handle)))).code, CLOSED, method)
  }
  for (const call of ['pause', 'resume']) assert.equal((await rejection(executor[call]())).code, CLOSED)
  gate.resolve('in time')
  assert.equal(await within(running), 'in time')
  await within(closed)
})

test('closed: every call is refused, and nothing is left pending', async () => {
  const { executor, handle } = await prepared()
  const done = await executor.enqueue(echo, 'done')
  assert.equal(await done.result(), 'done')
  const results = [handle.result(), handle.result({ signal: new AbortController().signal })]
  const pending = results.map(rejection)
  await executor.close()
  for (const promise of pending) assert.equal((await within(promise)).code, CLOSED)
  for (const [method, [call]] of Object.entries(methods)) {
    assert.equal((await rejection(within(call(executor, handle)))).code, CLOSED, method)
  }
  for (const call of ['pause', 'resume']) assert.equal((await rejection(executor[call]())).code, CLOSED)
  for (const options of [undefined, {}, { signal: new AbortController().signal }]) {
    assert.equal((await rejection(within(handle.result(options)))).code, CLOSED)
  }
  await within(executor.onIdle())
  await within(executor.close())
})

test('what has an answer in every state', async () => {
  for (const [method, call] of Object.entries(always)) {
    const { executor } = await prepared()
    if (method !== 'onIdle') await within(call(executor))
    await executor.pause()
    if (method !== 'onIdle') await within(call(executor))
    const hung = rejection(executor.execute(never))
    const closed = executor.close({ gracePeriod: 20 })
    await within(call(executor))
    await within(hung)
    await within(closed)
    await within(call(executor))
  }
})

// The rules of the protocol between JavaScript and the engine, each by a test: see lib/lane.js, lib/guarded.js,
// lib/stored.js and src/binding/turn.rs. What happens when the two speak at once is in 47.races.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { setTimeout as sleep, setImmediate as tick } from 'node:timers/promises'
import { defineTask, RetryPolicy, TaskExecutor } from '../index.js'
import { deferred, failure, never, open, rejection, until, within } from './support/executors.mjs'

const require = createRequire(import.meta.url)
const { Lane } = require('../lib/lane.js')

// An executor and its lane, to which nothing public leads.
async function withLane(make) {
  const { take } = Lane.prototype
  let lane
  Lane.prototype.take = function record() {
    lane = this
    return take.call(this)
  }
  try {
    const executor = make()
    await executor.execute(async () => {})
    return { executor, lane }
  } finally {
    Lane.prototype.take = take
  }
}

test('a late end after a timeout is ignored, though its slot is wanted again', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = deferred()
  const late = await rejection(executor.execute(() => gate.promise, { timeout: 10 }))
  assert.equal(late.code, 'ERR_TASK_TIMEOUT')
  const held = deferred()
  const next = executor.execute(() => held.promise)
  await tick()
  gate.resolve('late')
  await tick()
  // The late end has freed nobody's slot: a third task waits for the second.
  let third = false
  const last = executor.execute(async () => {
    third = true
    return 'third'
  })
  await sleep(20)
  assert.equal(third, false)
  held.resolve('second')
  assert.deepEqual(await within(Promise.all([next, last])), ['second', 'third'])
})

test('an abort listener may execute again, as much as fills every array', async t => {
  const executor = open(t, { concurrency: 3 })
  const wanted = []
  const inner = []
  const timeouts = Array.from({ length: 3 }, () =>
    executor.execute(
      ctx => {
        ctx.signal.addEventListener('abort', () => {
          for (let at = 0; at < 5_000; at += 1) {
            // Where an array is full, execute has a turn, and that may call the next listener: they mix.
            const one = executor.execute(async () => at, { priority: at % 3, timeout: '1h' })
            wanted.push(at)
            inner.push(one)
          }
        })
        return never()
      },
      { timeout: 10 },
    ),
  )
  for (const timeout of timeouts) await assert.rejects(within(timeout), failure('ERR_TASK_TIMEOUT'))
  assert.equal(inner.length, 15_000)
  const values = await within(Promise.all(inner))
  assert.deepEqual(values, wanted)
})

test('a signal that many tasks share stops all of them, and its listener may execute again', async t => {
  const executor = open(t, { concurrency: 2 })
  const abort = new AbortController()
  const reason = new Error('enough')
  const all = Array.from({ length: 10_000 }, () =>
    executor.execute(() => sleep(1_000), { signal: abort.signal }),
  )
  let again
  abort.signal.addEventListener('abort', () => {
    again = Promise.all(Array.from({ length: 10_000 }, (_, at) => executor.execute(async () => at)))
  })
  const outcomes = Promise.allSettled(all)
  await tick()
  abort.abort(reason)
  for (const { reason: given } of await within(outcomes)) assert.equal(given, reason)
  assert.equal((await within(again)).length, 10_000)
})

test('the arrays carry what does not fit at once: submissions with every word, starts, ends, timeouts', async t => {
  const kind = defineTask({ name: 'kind', concurrency: 6_000, handler: async value => value })
  const executor = open(t, { concurrency: 6_000, tasks: [kind], maxAbandoned: 6_000 })
  const options = { priority: -3, timeout: '1h', retry: { attempts: 2 } }
  const values = Array.from({ length: 12_000 }, (_, at) => at)
  assert.deepEqual(await within(Promise.all(values.map(at => executor.execute(kind, at, options)))), values)
  // 6000 start, 6000 fail, 6000 come again, all of them at once.
  const failing = values.slice(0, 6_000).map(at =>
    executor.execute(
      ctx => {
        if (ctx.attempt === 1) throw new Error('once')
        return at
      },
      { retry: RetryPolicy.fixed(2, 1) },
    ),
  )
  assert.deepEqual(await within(Promise.all(failing)), values.slice(0, 6_000))
  const hung = values.slice(0, 6_000).map(() => rejection(executor.execute(never, { timeout: 50 })))
  for (const error of await within(Promise.all(hung))) assert.equal(error.code, 'ERR_TASK_TIMEOUT')
})

test('stored handlers run in the async context of register, never in that of enqueue', async t => {
  const storage = new AsyncLocalStorage()
  const executor = open(t, { concurrency: 1 })
  const task = defineTask({
    name: 'context',
    async handler() {
      const before = storage.getStore()
      await sleep(1)
      return [before, storage.getStore()]
    },
  })
  storage.run('of register', () => executor.register(task))
  const handles = await storage.run('of a stranger', () => executor.enqueueMany(task, [1, 2, 3]))
  for (const handle of handles) {
    assert.deepEqual(await within(handle.result()), Array(2).fill('of register'))
  }
})

test('a closure and each of its attempts run in the async context of execute', async t => {
  const storage = new AsyncLocalStorage()
  const executor = open(t, { concurrency: 1 })
  const seen = await within(
    Promise.all(
      ['one', 'two', 'three'].map(name =>
        storage.run(name, () => {
          const contexts = []
          const work = async ctx => {
            contexts.push(storage.getStore())
            if (ctx.attempt === 1) await never()
            if (ctx.attempt === 2) throw new Error('again')
            return contexts
          }
          return executor.execute(work, { timeout: 20, retry: RetryPolicy.fixed(3, 1) })
        }),
      ),
    ),
  )
  assert.deepEqual(seen, [Array(3).fill('one'), Array(3).fill('two'), Array(3).fill('three')])
})

test('no user code runs while the words of a turn are read', async t => {
  const { executor, lane } = await withLane(() => open(t, { concurrency: 4, cancelGrace: 5 }))
  const seen = []
  const look = what => seen.push([what, lane.turning])
  executor.on('completed', () => look('event'))
  const task = defineTask({
    name: 'looks',
    async handler(_, ctx) {
      look('stored')
      ctx.signal.addEventListener('abort', () => look('stored abort'))
      await sleep(1)
    },
  })
  const handles = await executor.enqueueMany(task, [1, 2, 3])
  await Promise.all(handles.map(handle => handle.result().then(() => look('result'))))
  await executor.execute(() => look('closure'))
  const hung = executor.execute(
    ctx => {
      ctx.signal.addEventListener('abort', () => look('abort'))
      return never()
    },
    { timeout: 10, retry: { attempts: 2, base: 1, retryIf: () => look('retryIf') > 0 } },
  )
  await rejection(hung).then(() => look('rejection'))
  const stopped = await executor.enqueue(
    defineTask({
      name: 'hangs',
      timeout: 10,
      handler: (_, ctx) => {
        ctx.signal.addEventListener('abort', () => look('stored abort'))
        return never()
      },
    }),
  )
  await rejection(stopped.result())
  await until(() => seen.some(([what]) => what === 'stored abort'))
  const kinds = new Set(seen.map(([what]) => what))
  for (const what of [
    'event',
    'stored',
    'result',
    'closure',
    'abort',
    'retryIf',
    'rejection',
    'stored abort',
  ]) {
    assert.ok(kinds.has(what), what)
  }
  assert.deepEqual(
    seen.filter(([, turning]) => turning),
    [],
  )
})

test('a context knows its run: it is stopped for good when the run is over', async t => {
  const executor = open(t, { concurrency: 1 })
  const contexts = []
  for (let at = 0; at < 3; at += 1) {
    await executor.execute(async ctx => {
      contexts.push(ctx)
      assert.equal(ctx.cancelled, false)
      // Those that had the slot before are over, whoever has it now.
      assert.deepEqual(
        contexts.slice(0, -1).map(context => context.cancelled),
        Array(at).fill(true),
      )
    })
  }
  const attempts = []
  await executor.execute(
    async ctx => {
      attempts.push(ctx)
      if (ctx.attempt < 3) throw new Error('again')
      assert.deepEqual(
        attempts.map(context => context.cancelled),
        [true, true, false],
      )
    },
    { retry: RetryPolicy.fixed(3, 1) },
  )
})

test('an error comes out as the very object that was thrown', async t => {
  const executor = open(t, { concurrency: 2 })
  class Special extends TypeError {}
  const things = [
    new Special('x'),
    Object.freeze({ frozen: true }),
    undefined,
    null,
    0,
    '',
    Symbol('s'),
    never,
    1n,
  ]
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error('do not read me')
      },
      getPrototypeOf() {
        throw new Error('do not ask me')
      },
    },
  )
  for (const thing of [...things, hostile]) {
    const work = () => Promise.reject(thing)
    for (const options of [undefined, { timeout: '1h' }, { retry: RetryPolicy.fixed(2, 0) }]) {
      let caught = 'nothing'
      await within(
        executor.execute(work, options).catch(error => {
          caught = error
        }),
      )
      assert.ok(Object.is(caught, thing))
    }
  }
  const stored = defineTask({
    name: 'hostile',
    handler() {
      throw hostile
    },
  })
  await assert.rejects(within((await executor.enqueue(stored)).result()), failure('ERR_TASK_FAILED'))
})

test('the engine calls back through one function only, once until somebody looks', async () => {
  const binding = require('../lib/binding.js')
  const { executorOptions } = require('../lib/options/executor.js')
  const arrays = Array.from({ length: 5 }, () => new Uint32Array(4096))
  let calls = 0
  const called = deferred()
  const native = binding.open(JSON.stringify(executorOptions({ concurrency: 2 })), arrays, () => {
    calls += 1
    called.resolve()
  })
  const [, , ready] = arrays
  native.define(JSON.stringify({ name: 'n', handled: true, queue: 'default', priority: 0 }))
  native.start()
  native.turn(0, 0)
  for (let batch = 0; batch < 20; batch += 1) native.enqueue(batch, 1, `0\n${batch}`)
  await within(called.promise)
  await sleep(100)
  assert.equal(calls, 1)
  const n = native.turn(0, 0) & 0xffff
  assert.equal(ready[n - 1] >>> 28, 10)
  // Nobody looks again: the engine has more to say, and says so once more.
  for (let batch = 20; batch < 40; batch += 1) native.enqueue(batch, 1, `0\n${batch}`)
  await until(() => calls === 2)
  await sleep(50)
  assert.equal(calls, 2)
  native.free()
})

test('a signal that only looks like one harms nobody else', async t => {
  const executor = open(t, { concurrency: 1 })
  const half = { aborted: false, addEventListener() {} }
  await assert.rejects(
    within(executor.execute(never, { signal: half, timeout: 10 })),
    failure('ERR_TASK_TIMEOUT'),
  )
  const hostile = {
    aborted: false,
    addEventListener() {
      throw new Error('no listeners here')
    },
  }
  assert.equal(
    (await rejection(executor.execute(async () => 1, { signal: hostile }))).message,
    'no listeners here',
  )
  assert.equal(await within(executor.execute(async () => 'next', { timeout: 1_000 })), 'next')
  assert.equal(await within(executor.executeAll([async () => 1, async () => 2])).then(all => all.length), 2)
})

test('a handle of a closed executor answers what is known and refuses the rest', async () => {
  const task = defineTask({ name: 'one', handler: async value => value })
  const executor = new TaskExecutor({ tasks: [task] })
  const [ended, waits] = [
    await executor.enqueue(task, 'known'),
    await executor.enqueue(task, 1, { delay: '1h' }),
  ]
  await until(async () => (await ended.status()).state === 'completed')
  await within(executor.close())
  assert.equal(await within(ended.result()), 'known')
  await assert.rejects(within(waits.result()), failure('ERR_EXECUTOR_CLOSED'))
  const until1 = { signal: new AbortController().signal }
  await assert.rejects(within(waits.result(until1)), failure('ERR_EXECUTOR_CLOSED'))
})

// `execute`: a closure runs here and now, at most `concurrency` at once, and its caller gets what it gives or throws.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { setImmediate as nextLoop } from 'node:timers/promises'
import { defineTask, TaskError, TaskExecutor } from '../index.js'
import { deferred, failure, open, rejection, until } from './support/executors.mjs'
import { refusal } from './support/refusal.mjs'

// What follows must hold on the short way (no options) and on the long one (a timeout, a signal or retries).
const ways = [
  undefined,
  { timeout: '1h' },
  { signal: new AbortController().signal },
  { retry: { attempts: 1 } },
]

test('it gives what the closure gives', async t => {
  const executor = open(t)
  const object = { a: 1 }
  for (const options of ways) {
    assert.equal(await executor.execute(() => 42, options), 42)
    assert.equal(await executor.execute(async () => 'text', options), 'text')
    assert.equal(await executor.execute(() => {}, options), undefined)
    assert.equal(await executor.execute(() => object, options), object)
    assert.equal(await executor.execute(() => nextLoop(object), options), object)
  }
})

test('it gives a real promise, and calls the closure only after it has returned', async t => {
  const executor = open(t)
  for (const options of ways) {
    let calls = 0
    const promise = executor.execute(() => {
      calls += 1
    }, options)
    assert.ok(promise instanceof Promise)
    assert.equal(calls, 0)
    await promise
    assert.equal(calls, 1)
  }
})

test('the closure is told about its run', async t => {
  const executor = open(t)
  const ids = new Set()
  for (const options of ways) {
    await executor.execute(ctx => {
      assert.equal(ctx.attempt, 1)
      assert.equal(ctx.maxAttempts, 1)
      assert.equal(typeof ctx.id, 'string')
      assert.equal(ctx.id, ctx.id)
      assert.ok(ctx.signal instanceof AbortSignal)
      assert.equal(ctx.signal, ctx.signal)
      assert.equal(ctx.signal.aborted, false)
      assert.equal(ctx.cancelled, false)
      ids.add(ctx.id)
    }, options)
  }
  assert.equal(ids.size, ways.length)
})

test('it rejects with the very thing that was thrown', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'thrower', handler: thrown => Promise.reject(thrown.value) })
  const things = [
    new Error('a'),
    new TypeError('b'),
    TaskError.fatal('c'),
    Object.freeze({}),
    'text',
    '',
    undefined,
  ]
  things.push(null, 0, Number.NaN, false, 5n, Symbol('s'), () => {}, new AggregateError([], 'd'))
  for (const thing of things) {
    for (const options of ways) {
      const thrower = () => {
        throw thing
      }
      assert.ok(Object.is(await rejection(executor.execute(thrower, options)), thing))
      assert.ok(Object.is(await rejection(executor.execute(async () => thrower(), options)), thing))
      assert.ok(Object.is(await rejection(executor.execute(() => Promise.reject(thing), options)), thing))
      assert.ok(Object.is(await rejection(executor.execute(task, { value: thing }, options)), thing))
    }
  }
  assert.equal(await executor.execute(() => 'still there'), 'still there')
})

test('a thenable is awaited like a promise, however hostile it is', async t => {
  const executor = open(t, { concurrency: 1 })
  const boom = new Error('boom')
  for (const options of ways) {
    const run = result => executor.execute(() => result, options)
    // biome-ignore-start lint/suspicious/noThenProperty: this is what the test is about
    assert.equal(await run({ then: resolve => resolve(1) }), 1)
    assert.equal(await run({ then: resolve => [resolve(1), resolve(2)] }), 1)
    assert.equal(await run({ then: (resolve, reject) => [resolve(1), reject(boom)] }), 1)
    assert.equal(await rejection(run({ then: (resolve, reject) => [reject(boom), resolve(1)] })), boom)
    assert.equal(await run({ then: resolve => resolve({ then: inner => inner('deep') }) }), 'deep')
    const throwsAfter = {
      then(resolve) {
        resolve(1)
        throw boom
      },
    }
    assert.equal(await run(throwsAfter), 1)
    const throwsAtOnce = {
      then() {
        throw boom
      },
    }
    assert.equal(await rejection(run(throwsAtOnce)), boom)
    const getter = {
      get then() {
        throw boom
      },
    }
    assert.equal(await rejection(run(getter)), boom)
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    assert.ok((await rejection(run(proxy))) instanceof TypeError)
    assert.deepEqual(await run({ then: 'no function' }), { then: 'no function' })
    // biome-ignore-end lint/suspicious/noThenProperty: this is what the test is about
  }
  assert.equal(await executor.execute(() => 'the slot is free'), 'the slot is free')
})

test('executeAll keeps the order of its results, whatever the order of the ends', async t => {
  const executor = open(t, { concurrency: 3 })
  const gates = Array.from({ length: 3 }, () => deferred())
  const all = executor.executeAll(gates.map((gate, at) => () => gate.promise.then(() => at)))
  for (const gate of gates.toReversed()) {
    gate.resolve()
    await nextLoop()
  }
  assert.deepEqual(await all, [0, 1, 2])
  assert.deepEqual(await executor.executeAll([]), [])
  function* generated() {
    yield () => 'a'
    yield async () => 'b'
  }
  assert.deepEqual(await executor.executeAll(generated()), ['a', 'b'])
  assert.deepEqual(await executor.executeAll(new Set([ctx => ctx.attempt]), { timeout: 5_000 }), [1])
})

test('executeAll rejects with the first failure in time, and the others go on', async t => {
  const executor = open(t, { concurrency: 4 })
  const slow = deferred()
  const ended = []
  const first = new Error('first in time')
  const all = executor.executeAll([
    () => slow.promise.then(() => Promise.reject(new Error('later'))),
    () => Promise.reject(first),
    () => slow.promise.then(() => ended.push('third')),
  ])
  assert.equal(await rejection(all), first)
  assert.deepEqual(ended, [])
  slow.resolve()
  await executor.onIdle()
  assert.deepEqual(ended, ['third'])
})

test('executeAll takes functions, and runs none of them where one is none', async t => {
  const executor = open(t)
  let calls = 0
  const good = () => {
    calls += 1
  }
  await assert.rejects(executor.executeAll([good, 'bad']), refusal('number 1 is "bad"'))
  await assert.rejects(executor.executeAll([good, good], { priorty: 1 }), refusal('of executeAll()'))
  for (const given of [undefined, null, 5, {}, good]) {
    await assert.rejects(executor.executeAll(given), refusal('takes an iterable of functions'))
  }
  const boom = new Error('boom')
  const broken = {
    [Symbol.iterator]() {
      throw boom
    },
  }
  assert.equal(await rejection(executor.executeAll(broken)), boom)
  await executor.onIdle()
  assert.equal(calls, 0)
})

test("the caller's AsyncLocalStorage is kept, in the closure and after it", async t => {
  const executor = open(t, { concurrency: 2 })
  const storage = new AsyncLocalStorage()
  async function caller(_, options) {
    const seen = await executor.execute(async () => {
      const before = storage.getStore()
      await nextLoop()
      return [before, storage.getStore()]
    }, options)
    return [...seen, storage.getStore()]
  }
  const calls = []
  for (let number = 0; number < 40; number += 1) {
    const options = ways[number % ways.length]
    calls.push(storage.run(number, caller, number, options))
  }
  for (const [number, seen] of (await Promise.all(calls)).entries()) {
    assert.deepEqual(seen, [number, number, number])
  }
  assert.equal(storage.getStore(), undefined)
})

test('every attempt sees it, also one that starts while the last one still hangs', async t => {
  const executor = open(t, { concurrency: 2 })
  const storage = new AsyncLocalStorage()
  const seen = []
  const failing = ctx => {
    seen.push(['failing', storage.getStore()])
    if (ctx.attempt < 3) throw new Error('again')
  }
  const hanging = ctx => {
    seen.push(['hanging', storage.getStore()])
    return ctx.attempt < 3 ? new Promise(() => {}) : 'done'
  }
  await Promise.all([
    storage.run('one', () => executor.execute(failing, { retry: { attempts: 3, base: 1 } })),
    storage.run('two', () => executor.execute(hanging, { timeout: 20, retry: { attempts: 3, base: 1 } })),
  ])
  assert.deepEqual(
    seen.filter(([which]) => which === 'failing').map(([, store]) => store),
    ['one', 'one', 'one'],
  )
  assert.deepEqual(
    seen.filter(([which]) => which === 'hanging').map(([, store]) => store),
    ['two', 'two', 'two'],
  )
})

test('the stack of a failure reaches whoever called execute', async t => {
  const executor = open(t)
  async function orderCoffee() {
    await executor.execute(async function grindBeans() {
      throw new Error('no beans')
    })
  }
  const { stack } = await rejection(orderCoffee())
  assert.match(stack, /grindBeans/)
  assert.match(stack, /async orderCoffee/)
})

test('a mistake in the call is a rejection, and leaves nothing behind', async t => {
  const executor = open(t)
  for (const task of [undefined, null, 5, {}, [], Symbol('a')]) {
    await assert.rejects(executor.execute(task), failure('ERR_OPTION'))
  }
  await assert.rejects(executor.execute('nobody'), failure('ERR_TASK_UNKNOWN'))
  await assert.rejects(
    executor.execute(() => {}, { timeout: 0 }),
    refusal('"timeout"'),
  )
  await executor.onIdle()
})

test('several executors know nothing of each other', async t => {
  const [one, two] = [open(t, { concurrency: 1 }), open(t, { concurrency: 1 })]
  const gate = deferred()
  const blocked = one.execute(() => gate.promise)
  assert.equal(await two.execute(() => 'free'), 'free')
  await one.pause()
  assert.equal(await two.execute(() => 'free'), 'free')
  gate.resolve('done')
  assert.equal(await blocked, 'done')
})

test('an executor that nobody holds is collected, with what it had finished', async () => {
  const registry = { collected: false }
  const finalizers = new FinalizationRegistry(() => {
    registry.collected = true
  })
  await (async () => {
    const executor = new TaskExecutor()
    finalizers.register(executor, undefined)
    await executor.execute(() => {})
  })()
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  await until(() => {
    collect()
    return registry.collected
  })
})

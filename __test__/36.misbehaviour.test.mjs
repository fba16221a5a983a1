// Handlers that misbehave: whatever one throws, gives or does, it is one recorded outcome, and the next task runs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, RetryPolicy, TaskError } from '../index.js'
import { collect, never, open, rejection, within } from './support/executors.mjs'
import { runProgram } from './support/programs.mjs'

const KIB_16 = 16_384
const boom = new Error('boom')
const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()
const { proxy: revokedFunction, revoke: revokeFunction } = Proxy.revocable(() => {}, {})
revokeFunction()

/** An object of which every property throws when it is read. */
const hostile = new Proxy(
  {},
  {
    get: () => {
      throw boom
    },
    getPrototypeOf: () => {
      throw boom
    },
    has: () => {
      throw boom
    },
  },
)
const getters = Object.create(Error.prototype, {
  message: {
    get: () => {
      throw boom
    },
  },
  stack: {
    get: () => {
      throw boom
    },
  },
})
const strangeError = Object.assign(new Error('strange'), { name: 5, code: { a: 1 }, stack: ['no', 'text'] })
const selfCause = new Error('circular')
selfCause.cause = selfCause
const lone = new Error('half \ud800 of a pair')
const thrown = [
  ['undefined', undefined],
  ['null', null],
  ['zero', 0],
  ['NaN', Number.NaN],
  ['false', false],
  ['an empty text', ''],
  ['text', 'just text'],
  ['a BigInt', 10n ** 400n],
  ['a symbol', Symbol('s')],
  ['a function', () => {}],
  ['an array', [1, 2]],
  ['an object', { a: 1 }],
  ['an object without prototype', Object.create(null)],
  ['a revoked Proxy', revoked],
  ['a revoked Proxy of a function', revokedFunction],
  ['a hostile Proxy', hostile],
  ['an error with getters that throw', getters],
  ['an error with fields of other kinds', strangeError],
  ['an error that is its own cause', selfCause],
  ['half of a surrogate pair', lone],
  ['an AggregateError', new AggregateError([boom, undefined], 'many')],
  ['a DOMException', new DOMException('no', 'AbortError')],
  ['an error with toJSON that throws', Object.assign(new Error('a'), { toJSON: () => assert.fail('no') })],
  ['a frozen error', Object.freeze(new Error('frozen'))],
  ['a promise', Promise.resolve(1)],
]

test('execute: the very thing comes back, on every way', async t => {
  const executor = open(t, { concurrency: 1 })
  const retry = { attempts: 2, base: 0 }
  for (const [what, thing] of thrown) {
    const seen = []
    const retryIf = error => seen.push(error instanceof TaskError && typeof error.message === 'string')
    for (const options of [undefined, { timeout: '1h' }, { retry }, { retry: { ...retry, retryIf } }]) {
      let runs = 0
      const run = executor.execute(() => {
        runs += 1
        throw thing
      }, options)
      // A promise or an await would touch what is thrown; a callback does not.
      const same = await new Promise(resolve => {
        run.then(
          () => resolve(false),
          reason => resolve(Object.is(reason, thing)),
        )
      })
      assert.ok(same, what)
      assert.equal(runs, options?.retry ? 2 : 1, what)
    }
    assert.deepEqual(seen, [true], what)
  }
  assert.equal(await executor.execute(() => 'next'), 'next')
})

test('enqueue: it is told in words, with all its attempts, and can be read', async t => {
  const executor = open(t, { concurrency: 1 })
  let thing
  const seen = []
  const task = defineTask({
    name: 'task',
    retry: { attempts: 2, base: 0, retryIf: error => seen.push(error instanceof TaskError) },
    handler: () => {
      throw thing
    },
  })
  for (const [what, value] of thrown) {
    thing = value
    seen.length = 0
    const handle = await executor.enqueue(task)
    const error = await rejection(handle.result())
    assert.ok(error instanceof TaskError, what)
    assert.equal(error.code, 'ERR_TASK_FAILED', what)
    assert.ok(typeof error.message === 'string' && error.message.isWellFormed(), what)
    assert.deepEqual(seen, [true], what)
    const { errors, state } = await handle.status()
    assert.deepEqual([state, errors.length], ['failed', 2], what)
    for (const one of errors) assert.ok(typeof one.name === 'string' && typeof one.message === 'string', what)
  }
  assert.equal(await executor.execute(() => 'next'), 'next')
  assert.equal((await collect(executor.list())).length, thrown.length)
})

test('a message of 100 MB, a stack of 10 MB: kept short, and by reference for execute', async t => {
  const executor = open(t)
  const long = new Error('x'.repeat(100 * 1_048_576))
  const deep = new Error('deep')
  deep.stack = `Error: deep\n${'    at somewhere (file.js:1:1)\n'.repeat(350_000)}`
  let thing
  const task = defineTask({
    name: 'task',
    handler: () => {
      throw thing
    },
  })
  for (const value of [long, deep, 'y'.repeat(10 * 1_048_576)]) {
    thing = value
    assert.equal(await rejection(executor.execute(task)), value)
    const handle = await executor.enqueue(task)
    const error = await rejection(handle.result())
    assert.ok(Buffer.byteLength(error.message) <= KIB_16)
    const [kept] = (await handle.status()).errors
    assert.ok(Buffer.byteLength(kept.message) <= KIB_16 && Buffer.byteLength(kept.stack ?? '') <= KIB_16)
  }
})

test('settling twice is settling once', async t => {
  const executor = open(t)
  const twice = () =>
    new Promise((resolve, reject) => {
      resolve('first')
      resolve('second')
      reject(boom)
      throw boom
    })
  const task = defineTask({ name: 'task', handler: twice })
  for (const options of [undefined, { timeout: '1h' }])
    assert.equal(await executor.execute(twice, options), 'first')
  assert.equal(await (await executor.enqueue(task)).result(), 'first')
})

test('a handler that never settles costs its slot, no more', async t => {
  const executor = open(t, { concurrency: 2 })
  executor.execute(never)
  for (let n = 0; n < 100; n += 1) assert.equal(await within(executor.execute(() => n)), n)
  assert.equal(
    await within((await executor.enqueue(defineTask({ name: 'a', handler: () => 'a' }))).result()),
    'a',
  )
})

test('thenables that never settle, settle twice, or throw', async t => {
  const executor = open(t, { concurrency: 2 })
  let thenable
  const task = defineTask({ name: 'task', handler: () => thenable, timeout: 30 })
  // biome-ignore-start lint/suspicious/noThenProperty: this is what the test is about
  const table = [
    [{ then() {} }, 'ERR_TASK_TIMEOUT'],
    [{ then: (resolve, reject) => [reject(boom), resolve(1)] }, 'ERR_TASK_FAILED'],
    [{ then: resolve => [resolve(1), resolve(2)] }, 1],
    [{ then: () => Promise.reject(boom).catch(() => never()) }, 'ERR_TASK_TIMEOUT'],
  ]
  // biome-ignore-end lint/suspicious/noThenProperty: this is what the test is about
  for (const [value, wanted] of table) {
    thenable = value
    const outcome = await (await executor.enqueue(task)).result().catch(error => error.code)
    assert.equal(outcome, wanted)
  }
})

test('an error that pretends to be ours is a failure like any other', async t => {
  const executor = open(t)
  const fakes = [
    Object.assign(new Error('fake'), { name: 'TaskError', code: 'ERR_TASK_TIMEOUT', retryable: false }),
    { __proto__: TaskError.prototype, message: 'fake', code: 'ERR_TASK_CANCELLED', retryable: false },
    Object.assign(new Error('fake'), { retryAfter: 'never', delay: 5 }),
  ]
  for (const fake of fakes) {
    let runs = 0
    const fail = () => {
      runs += 1
      throw fake
    }
    const task = defineTask({
      name: `task ${fakes.indexOf(fake)}`,
      retry: RetryPolicy.fixed(2, 0),
      handler: fail,
    })
    assert.equal(await rejection(executor.execute(task)), fake)
    assert.equal(runs, 2)
    await rejection((await executor.enqueue(task)).result())
    assert.equal(runs, 4)
  }
})

test('an error of ours that was tampered with is judged by what it says now', async t => {
  const executor = open(t)
  const tampered = Object.assign(new TaskError('tampered'), { retryAfter: 'soon', retryable: 'perhaps' })
  const throwing = new TaskError('throwing')
  Object.defineProperty(throwing, 'retryable', { get: () => assert.fail('read') })
  for (const [at, error] of [tampered, throwing].entries()) {
    const task = defineTask({
      name: `task ${at}`,
      retry: RetryPolicy.fixed(3, 0),
      handler: () => Promise.reject(error),
    })
    await within(rejection(executor.execute(task)))
    await within(rejection((await executor.enqueue(task)).result()))
  }
  assert.equal(await executor.execute(() => 'next'), 'next')
})

test('a handler that catches its snooze has not snoozed', async t => {
  const executor = open(t)
  const task = defineTask({
    name: 'task',
    handler: (_, ctx) => {
      try {
        ctx.snooze(1)
      } catch {
        return 'awake'
      }
    },
  })
  assert.equal(await executor.execute(task), 'awake')
  assert.equal(await (await executor.enqueue(task)).result(), 'awake')
})

test('a handler that changes its context or its input changes nobody else', async t => {
  const executor = open(t)
  const task = defineTask({
    name: 'task',
    retry: RetryPolicy.fixed(2, 0),
    handler: (input, ctx) => {
      const { attempt } = ctx
      input.list.push(attempt)
      Object.assign(ctx, { attempt: 9, maxAttempts: 9 })
      if (attempt === 1) throw boom
      return input.list
    },
  })
  const handle = await executor.enqueue(task, { list: [0] })
  assert.deepEqual(await within(handle.result()), [0, 2])
  assert.deepEqual((await handle.status()).input, { list: [0] })
})

test('nothing of this ends the process', async t => {
  const { code, stdout } = await runProgram(
    t,
    `
    const executor = new TaskExecutor({ concurrency: 4 })
    const { proxy, revoke } = Proxy.revocable(class {}, {})
    revoke()
    const things = [undefined, null, proxy, 5n, Symbol('a'), new Proxy({}, { get() { throw 1 } }), () => {}]
    let thing
    const task = defineTask({ name: 'task', handler: () => { throw thing }, retry: { attempts: 2, base: 0 } })
    let failed = 0
    for (thing of things) {
      const fail = () => { throw thing }
      await executor.execute(fail).then(() => {}, () => failed++)
      await executor.execute(fail, { timeout: 1000, retry: { attempts: 2, base: 0 } }).then(() => {}, () => failed++)
      await (await executor.enqueue(task)).result().then(() => {}, () => failed++)
    }
    console.log(failed)
  `,
  )
  assert.deepEqual([code, stdout.trim()], [0, '21'])
})

// Options that cannot be: each mistake is an error that names the option, what was given and what is allowed.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { refusal } from './support/refusal.mjs'

const require = createRequire(import.meta.url)
const { checkDefinition, defineTask } = require('../lib/definition.js')
const { TaskError } = require('../lib/errors.js')
const options = require('../lib/options.js')
const { RetryPolicy } = require('../lib/retry.js')

const { closeOptions, enqueueOptions, executorOptions, resultOptions, runOptions, taskFilter } = options
const readers = { closeOptions, enqueueOptions, executorOptions, resultOptions, runOptions, taskFilter }

test('an unknown option is named, with the one that was meant', () => {
  const table = [
    [runOptions, 'priorty', 'execute()', '"priority"'],
    [runOptions, 'Timeout', 'execute()', '"timeout"'],
    [runOptions, 'sginal', 'execute()', '"signal"'],
    [runOptions, 'retri', 'execute()', '"retry"'],
    [enqueueOptions, 'prio', 'enqueue()', '"priority"'],
    [enqueueOptions, 'runat', 'enqueue()', '"runAt"'],
    [enqueueOptions, 'delayed', 'enqueue()', '"delay"'],
    [enqueueOptions, 'keys', 'enqueue()', '"key"'],
    [executorOptions, 'maxPayloadSize', 'TaskExecutor()', '"maxPayload"'],
    [executorOptions, 'concurency', 'TaskExecutor()', '"concurrency"'],
    [taskFilter, 'states', 'list()', '"state"'],
    [closeOptions, 'grace', 'close()', '"gracePeriod"'],
  ]
  for (const [read, name, call, meant] of table) {
    const message = `"${name}" is not an option of ${call}; did you mean ${meant}?`
    assert.throws(() => read({ [name]: 1 }), refusal(message))
    assert.throws(() => read({ [name]: undefined }), refusal(message))
  }
  assert.throws(() => runOptions({ priorty: 1 }, 'executeAll()'), refusal('not an option of executeAll()'))
  assert.throws(
    () => enqueueOptions({ key: 'k', debounce: { wiat: 1 } }),
    refusal('did you mean "debounce.wait"?'),
  )
})

test('an unknown option that resembles none gets the whole list', () => {
  const list = 'the options are priority, timeout, retry, signal'
  for (const name of ['nonsense', '', '__proto__', 'constructor', 'x'.repeat(1 << 20), '\u0000']) {
    const given = JSON.parse(`{${JSON.stringify(name)}:1}`)
    assert.throws(() => runOptions(given), refusal(list))
    assert.throws(() => enqueueOptions(given), refusal('the options are queue, '))
  }
  // Two letters away from "id" is another word.
  assert.throws(() => enqueueOptions({ ad: 1 }), refusal('the options are queue, '))
})

test('an address that names no store is refused, and not repeated', () => {
  for (const persistence of [
    'sqlite:',
    'sqlite::memory:',
    'sqlite:a\0b',
    'redis+sentinel:x',
    'Memory',
    '',
    5,
  ]) {
    assert.throws(
      () => executorOptions({ persistence }),
      refusal('"persistence" must be "memory", "sqlite", '),
    )
  }
  const secret = { persistence: 'postgres://me:secret@host/db' }
  assert.throws(
    () => executorOptions(secret),
    error => !error.message.includes('secret'),
  )
})

test('options are a plain object', () => {
  class Config {
    priority = 1
  }
  const values = [null, 5, 'a', true, 5n, Symbol('a'), [], [1], () => {}, new Map(), new Date(), new Config()]
  values.push(
    new AbortController().signal,
    Promise.resolve(),
    Object.create({ priority: 1 }),
    Object.create(Object.create(null)),
    new Error('a'),
  )
  for (const value of values) {
    for (const read of Object.values(readers))
      assert.throws(() => read(value), refusal('must be a plain object; got '))
  }
})

const i32 = 2 ** 31
const numbers = [
  [runOptions, 'priority', -i32, i32 - 1],
  [enqueueOptions, 'priority', -i32, i32 - 1],
  [executorOptions, 'priority', -i32, i32 - 1],
  [executorOptions, 'concurrency', 1, 1_000_000],
  [executorOptions, 'maxQueue', 1, i32 - 1],
  [executorOptions, 'maxPayload', 1, 64 * 1_048_576],
  [executorOptions, 'maxLosses', 0, 1_000_000],
  [executorOptions, 'maxAbandoned', 0, 1_000_000],
  [taskFilter, 'limit', 1, i32 - 1],
  [given => executorOptions({ queues: { q: given } }), 'concurrency', 1, 1_000_000, 'queues.q.'],
  [given => executorOptions({ retention: { failed: given } }), 'count', 0, 2 ** 53 - 1, 'retention.failed.'],
  [given => executorOptions({ retention: { failed: given } }), 'bytes', 0, 2 ** 53 - 1, 'retention.failed.'],
  [given => checkDefinition({ name: 'a', ...given }), 'concurrency', 1, 1_000_000],
  [given => checkDefinition({ name: 'a', concurrency: given }), 'perNode', 1, 1_000_000, 'concurrency.'],
  [given => checkDefinition({ name: 'a', concurrency: given }), 'total', 1, 1_000_000, 'concurrency.'],
  [given => checkDefinition({ name: 'a', concurrency: given }), 'perGroup', 1, 1_000_000, 'concurrency.'],
]
const durations = [
  [runOptions, 'timeout', 1],
  [enqueueOptions, 'timeout', 1],
  [executorOptions, 'timeout', 1],
  [enqueueOptions, 'delay', 0],
  [given => executorOptions(given), 'lease', 1_000],
  [given => enqueueOptions({ key: 'k', ...given }), 'debounce', 1],
  [given => enqueueOptions({ key: 'k', ...given }), 'throttle', 1],
  [given => enqueueOptions({ key: 'k', debounce: { wait: 1, ...given } }), 'maxWait', 1, 'debounce.'],
  [executorOptions, 'stallLimit', 10],
  [executorOptions, 'gracePeriod', 0],
  [executorOptions, 'cancelGrace', 0],
  [closeOptions, 'gracePeriod', 0],
  [given => executorOptions({ retention: { failed: given } }), 'age', 0, 'retention.failed.'],
]

test('a whole number is one, and in its range', () => {
  for (const [read, name, min, max, path = ''] of numbers) {
    for (const value of [min, max]) assert.doesNotThrow(() => read({ [name]: value }), `${name} ${value}`)
    const wrong = [
      NaN,
      1.5,
      Infinity,
      -Infinity,
      2 ** 53,
      min - 1,
      max + 1,
      '5',
      '',
      null,
      true,
      5n,
      [5],
      Object(5),
    ]
    for (const value of wrong) {
      assert.throws(
        () => read({ [name]: value }),
        refusal(`"${path}${name}"`, 'must be', 'got '),
        `${name} ${value}`,
      )
    }
  }
  assert.ok(Object.is(runOptions({ priority: -0 }).priority, 0))
})

test('a duration is one, and in its range', () => {
  for (const [read, name, min, path = ''] of durations) {
    for (const value of [min, `${min}ms`, '1h', '36525d']) assert.doesNotThrow(() => read({ [name]: value }))
    for (const value of [
      min - 1,
      NaN,
      Infinity,
      2 ** 53,
      '36526d',
      '5',
      '5 s',
      null,
      true,
      [5],
      new Date(),
    ]) {
      assert.throws(
        () => read({ [name]: value }),
        refusal(`"${path}${name}"`, 'must be', 'got '),
        `${name} ${value}`,
      )
    }
  }
})

test('every other option refuses what it cannot be', () => {
  const keyed = given => enqueueOptions({ key: 'k', ...given })
  const table = [
    [keyed, 'onConflict', ['Ignore', 'overwrite', 5, null], 'one of "ignore", "replace", "error"'],
    [enqueueOptions, 'onBlockerFailure', ['fail', null], 'one of "cancel", "run"'],
    [enqueueOptions, 'runAt', [5, '2026-01-01', new Date(NaN), null, {}], 'a valid Date'],
    [enqueueOptions, 'expiresAt', [5, new Date(NaN), null], 'a valid Date'],
    [taskFilter, 'createdBefore', [5, new Date(NaN), null], 'a valid Date'],
    [enqueueOptions, 'after', ['a', {}, null, new Set(['a'])], 'an array'],
    [enqueueOptions, 'metadata', [5, 'a', null, [], new Map()], 'a plain object'],
    [enqueueOptions, 'retry', [5, 'a', null, () => {}], 'a RetryPolicy or its options'],
    [runOptions, 'signal', [{}, null, 5, new AbortController(), { aborted: true }], 'an AbortSignal'],
    [resultOptions, 'signal', [{}, null, new AbortController()], 'an AbortSignal'],
    [executorOptions, 'signal', [{}, null, new AbortController()], 'an AbortSignal'],
    [executorOptions, 'tasks', [{}, null, 'a', new Set()], 'an array'],
    [executorOptions, 'queues', [5, null, 'a', new Set()], 'a plain object'],
    [executorOptions, 'retention', [5, null, []], 'a plain object'],
    [taskFilter, 'state', ['done', 5, null, [], ['done'], [null]], ''],
    [taskFilter, 'search', ['', 5, null, 'x'.repeat(1_025), '\ud800'], 'well-formed text'],
    [taskFilter, 'cursor', ['', 5, null], 'a name'],
  ]
  for (const [read, name, values, allowed] of table) {
    for (const value of values) {
      assert.throws(() => read({ [name]: value }), refusal(`"${name}`, 'must be', allowed, 'got '))
    }
  }
  assert.throws(() => keyed({ onConflict: 'replce' }), refusal('did you mean "replace"?'))
})

test('the bounds of metadata and of after', () => {
  const entries = count => Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, 'v']))
  assert.doesNotThrow(() => enqueueOptions({ metadata: entries(64) }))
  assert.throws(() => enqueueOptions({ metadata: entries(65) }), refusal('at most 64 entries; got 65'))
  assert.doesNotThrow(() => enqueueOptions({ metadata: { ['n'.repeat(1_024)]: 'v'.repeat(1_024) } }))
  for (const text of ['v'.repeat(1_025), '\u00e9'.repeat(513), '\ud800', 5, null, {}]) {
    assert.throws(
      () => enqueueOptions({ metadata: { a: text } }),
      refusal('"metadata.a"', 'at most 1024 bytes'),
    )
  }
  for (const name of ['', 'n'.repeat(1_025), '\udc00']) {
    assert.throws(() => enqueueOptions({ metadata: { [name]: 'v' } }), refusal('a name in metadata'))
  }
  const ids = count => Array.from({ length: count }, (_, at) => `t${at}`)
  assert.equal(enqueueOptions({ after: ids(10_000) }).after.length, 10_000)
  assert.throws(() => enqueueOptions({ after: ids(10_001) }), refusal('got an array of 10001'))
  assert.throws(() => enqueueOptions({ after: ['a', { id: 5 }] }), refusal('"after[1]"'))
})

test('options that contradict each other are refused together', () => {
  const now = new Date(1_000)
  const table = [
    [{ delay: 5, runAt: now }, '"delay" and "runAt" of enqueue() exclude each other'],
    [{ key: 'k', debounce: 5, throttle: 5 }, '"debounce" and "throttle" of enqueue() exclude each other'],
    [{ key: 'k', debounce: 5, delay: 5 }, '"debounce" and "delay" of enqueue() exclude each other'],
    [{ key: 'k', debounce: 5, runAt: now }, '"debounce" and "runAt" of enqueue() exclude each other'],
    [
      { key: 'k', debounce: 5, onConflict: 'error' },
      '"debounce" and "onConflict" of enqueue() exclude each other',
    ],
    [{ debounce: 5 }, '"debounce" of enqueue() needs "key"'],
    [{ throttle: 5 }, '"throttle" of enqueue() needs "key"'],
    [{ onConflict: 'ignore' }, '"onConflict" of enqueue() needs "key"'],
    [{ runAt: now, expiresAt: now }, '"expiresAt" of enqueue() must be later than "runAt"'],
    [{ key: 'k', debounce: { maxWait: 5 } }, '"debounce.wait" must be'],
    [{ key: 'k', debounce: { wait: 5, maxWait: 4 } }, '"debounce.maxWait" must be at least "debounce.wait"'],
    [{ retry: { attempts: 3, retryIf: () => true } }, 'without retryIf'],
    [{ retry: RetryPolicy.custom(3, () => 5) }, 'without retryIf'],
  ]
  for (const [given, message] of table) assert.throws(() => enqueueOptions(given), refusal(message))
  assert.doesNotThrow(() => enqueueOptions({ delay: 0, expiresAt: now }))
})

test('a call that changes tasks does not take undefined for all of them', () => {
  assert.deepEqual(Object.keys(taskFilter(undefined)), [])
  assert.throws(() => taskFilter(undefined, 'cancelAll()', true), refusal('cancelAll() needs a filter'))
  assert.deepEqual(Object.keys(taskFilter({}, 'cancelAll()', true)), [])
})

test('hostile objects are an error, never a crash', () => {
  const boom = () => {
    throw new RangeError('boom')
  }
  const { proxy: revoked, revoke } = Proxy.revocable({}, {})
  revoke()
  const hostile = [
    revoked,
    new Proxy({}, { ownKeys: boom }),
    new Proxy({}, { getPrototypeOf: boom }),
    new Proxy({ signal: 1, gracePeriod: 1, priority: 1 }, { get: boom, getOwnPropertyDescriptor: boom }),
  ]
  for (const given of hostile) {
    for (const read of Object.values(readers)) {
      assert.throws(() => read(given), refusal('cannot be read'))
      assert.throws(
        () => read(given),
        error => error.cause instanceof Error,
      )
    }
    assert.throws(() => checkDefinition(given), refusal())
    assert.throws(() => defineTask(given), refusal('a task definition cannot be read'))
    assert.throws(() => enqueueOptions({ metadata: given }), refusal())
    assert.throws(() => enqueueOptions({ key: 'k', debounce: given }), refusal())
    assert.throws(() => executorOptions({ tasks: [given] }), refusal())
    assert.throws(() => executorOptions({ retention: { failed: given } }), refusal())
    assert.throws(() => runOptions({ retry: given }), refusal())
    assert.throws(() => runOptions({ signal: given }), refusal())
  }
  const getter = {
    get priority() {
      throw TaskError.fatal('mine')
    },
  }
  assert.throws(() => runOptions(getter), { code: 'ERR_TASK_FAILED', message: 'mine' })
  assert.throws(
    () =>
      enqueueOptions({
        after: [
          {
            get id() {
              return boom()
            },
          },
        ],
      }),
    refusal('boom'),
  )
})

test('each option is read once', () => {
  let reads = 0
  const given = {
    get timeout() {
      reads += 1
      return reads === 1 ? 5 : 'never'
    },
  }
  assert.equal(runOptions(given).timeout, 5)
  reads = 0
  assert.equal(
    checkDefinition(
      defineTask({
        name: 'a',
        ...given,
        get queue() {
          reads += 1
          return 'q'
        },
      }),
    ).queue,
    'q',
  )
  assert.equal(reads, 2)
})

// TaskError: one class, stable codes, the original as its cause. And the two ways to put a foreign value into words,
// which have to stand whatever they are given.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { inspect } from 'node:util'
import vm from 'node:vm'
import { refusal } from './support/refusal.mjs'

const require = createRequire(import.meta.url)
const { CODES, TaskError, describe, describeFailure, isTaskError, optionError } = require('../lib/errors.js')

// ---- TaskError ----

test('a plain TaskError is a failed task that may be tried again', () => {
  const error = new TaskError('no')
  assert.ok(error instanceof Error)
  assert.equal(error.name, 'TaskError')
  assert.equal(error.message, 'no')
  assert.equal(String(error), 'TaskError: no')
  assert.match(error.stack, /^TaskError: no\n {4}at .*04\.errors/s)
  assert.deepEqual(Object.entries(error), [
    ['code', 'ERR_TASK_FAILED'],
    ['retryable', true],
  ])
  assert.equal('cause' in error, false)
  error.name = 'Mine'
  assert.equal(String(error), 'Mine: no')
})

test('options say the rest, and only what was said is there', () => {
  const cause = new Error('why')
  const error = new TaskError('no', { code: 'ERR_STORE', cause, retryable: false, retryAfter: '1.5s' })
  assert.deepEqual({ ...error }, { code: 'ERR_STORE', retryable: false, retryAfter: 1_500 })
  assert.equal(error.cause, cause)
  assert.equal(new TaskError('no', { cause: null }).cause, null)
  assert.equal('cause' in new TaskError('no', { cause: undefined, code: undefined }), false)
})

test('retryable follows from the code: false for what the same call would meet again', () => {
  const final = [...CODES.keys()].filter(code => !new TaskError('no', { code }).retryable)
  assert.deepEqual(final, [
    'ERR_TASK_CANCELLED',
    'ERR_TASK_DUPLICATE',
    'ERR_TASK_NOT_REPEATABLE',
    'ERR_TASK_NOT_FOUND',
    'ERR_TASK_UNKNOWN',
    'ERR_TASK_INPUT',
    'ERR_TASK_SERIALIZE',
    'ERR_TASK_EXPIRED',
    'ERR_PAYLOAD_SIZE',
    'ERR_STORE_CORRUPT',
    'ERR_STORE_VERSION',
    'ERR_SCHEDULE',
    'ERR_OPTION',
    'ERR_STUCK',
    'ERR_ENGINE',
  ])
})

test('fatal and retryAfter are for handlers', () => {
  const cause = new Error('why')
  const fatal = TaskError.fatal('no', { cause })
  assert.deepEqual({ ...fatal }, { code: 'ERR_TASK_FAILED', retryable: false })
  assert.equal(fatal.cause, cause)
  const later = TaskError.retryAfter('30s')
  assert.deepEqual({ ...later }, { code: 'ERR_TASK_FAILED', retryable: true, retryAfter: 30_000 })
  assert.match(later.message, /30000 ms/)
  assert.equal(TaskError.retryAfter(5, 'busy').message, 'busy')
})

test('options of errors are checked as all others are', () => {
  assert.throws(
    () => new TaskError('no', { code: 'ERR_TASK_FAIL' }),
    refusal('did you mean "ERR_TASK_FAILED"?'),
  )
  assert.throws(() => new TaskError('no', { code: '__proto__' }), refusal('"code" must be'))
  assert.throws(() => new TaskError('no', { retryable: 1 }), refusal('"retryable" must be true or false'))
  assert.throws(() => new TaskError('no', { retriable: true }), refusal('did you mean "retryable"?'))
  assert.throws(() => new TaskError('no', null), refusal('the options of TaskError() must be a plain object'))
  assert.throws(() => TaskError.fatal('no', { retryAfter: 5 }), refusal('not an option of TaskError.fatal()'))
  for (const delay of [undefined, null, -1, NaN, Infinity, 'soon']) {
    assert.throws(() => TaskError.retryAfter(delay), refusal('"delay" must be a duration'))
    if (delay !== undefined)
      assert.throws(() => new TaskError('no', { retryAfter: delay }), refusal('"retryAfter"'))
  }
})

test('a message that is no text is described, not converted', () => {
  const hostile = { toString: () => assert.fail('user code was run') }
  assert.equal(new TaskError(hostile).message, 'an object')
  assert.equal(new TaskError(Symbol('a')).message, 'Symbol(a)')
  assert.equal(new TaskError().message, '')
})

test('from builds the error of a stored record', () => {
  const record = {
    code: 'ERR_TASK_FAILED',
    name: 'TypeError',
    message: 'x is not a function',
    stack: 'TypeError: x\n    at f',
  }
  const error = TaskError.from({ ...record, attempt: 3, taskId: 't1' })
  assert.deepEqual({ ...error }, { code: 'ERR_TASK_FAILED', retryable: true, taskId: 't1', attempt: 3 })
  assert.equal(error.message, record.message)
  assert.ok(error.cause instanceof Error)
  assert.deepEqual(
    [error.cause.name, error.cause.message, error.cause.stack],
    [record.name, record.message, record.stack],
  )
  assert.match(inspect(error), /cause.*TypeError/s)

  const own = TaskError.from({ code: 'ERR_TASK_TIMEOUT', name: 'TaskError', message: 'late', taskId: 't2' })
  assert.deepEqual({ ...own }, { code: 'ERR_TASK_TIMEOUT', retryable: true, taskId: 't2' })
  assert.equal('cause' in own, false)
  assert.equal(TaskError.from({ code: 'ERR_PAYLOAD_SIZE', message: 'large' }).retryable, false)
  const foreign = TaskError.from({ code: 'ECONNREFUSED', name: 'SystemError', message: 'no route' })
  assert.deepEqual({ ...foreign }, { code: 'ERR_TASK_FAILED', retryable: true })
  assert.deepEqual([foreign.cause.stack, foreign.cause.code], ['SystemError: no route', 'ECONNREFUSED'])
})

test('isTaskError knows its own, and asks nobody', () => {
  class Mine extends TaskError {}
  assert.ok(isTaskError(new TaskError('no')))
  assert.ok(isTaskError(new Mine('no')))
  assert.ok(isTaskError(optionError('no')))
  const trap = new Proxy(new TaskError('no'), { getPrototypeOf: () => assert.fail('user code was run') })
  for (const value of [
    trap,
    new Error('no'),
    { ...new TaskError('no') },
    Object.create(TaskError.prototype),
    null,
    'no',
  ]) {
    assert.equal(isTaskError(value), false)
  }
})

// ---- describe ----

const boom = () => {
  throw new RangeError('boom')
}
const traps = Object.fromEntries(Object.getOwnPropertyNames(Reflect).map(name => [name, boom]))
const revoked = (target = {}) => {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}
class Thing {}
const hostile = [
  new Proxy({}, traps),
  new Proxy(() => {}, traps),
  new Proxy([], traps),
  new Proxy(new Error('no'), traps),
  revoked(),
  revoked(() => {}),
  revoked([]),
  Object.create(new Proxy({}, traps)),
  Object.create(revoked()),
  Object.create(null),
  Object.create({
    get constructor() {
      return boom()
    },
  }),
  Object.create({ constructor: new Proxy(Thing, traps) }),
  Object.create({ constructor: { name: boom } }),
  Object.defineProperty(class {}, 'name', { get: boom }),
  Object.defineProperty(() => {}, 'name', { value: {} }),
  Object.defineProperty(new Error('no'), 'message', { get: boom }),
  Object.defineProperty(new Error('no'), 'stack', { get: boom }),
  Object.defineProperties(new Error('no'), {
    name: { get: boom },
    code: { get: boom },
    cause: { get: boom },
  }),
  { toString: boom, valueOf: boom, toJSON: boom, [Symbol.toPrimitive]: boom, [inspect.custom]: boom },
  {
    get [Symbol.toStringTag]() {
      return boom()
    },
  },
  { message: {}, name: 5, stack: [], code: Symbol('a') },
  { message: revoked(), name: revoked(), stack: revoked(), code: revoked(), cause: revoked() },
  vm.runInNewContext('new Error("of another realm")'),
  new Date(NaN),
  new Date(8.64e15),
]

test('describe names any value in a few words', () => {
  const table = [
    [undefined, 'undefined'],
    [null, 'null'],
    [true, 'true'],
    [-0, '-0'],
    [NaN, 'NaN'],
    [1.5, '1.5'],
    [5n, '5n'],
    [2n ** 64n, 'a bigint of more than 64 bits'],
    ['5 minutes', '"5 minutes"'],
    ['a "b" \\ \n', '"a \\"b\\" \\\\ \\n"'],
    ['\u0000\u007f\u0085\u2028\u202e\ufeff', '"\\u0000\\u007f\\u0085\\u2028\\u202e\\ufeff"'],
    ['\ud800', '"\\ud800"'],
    ['\u{1f680}', '"\u{1f680}"'],
    [Symbol('a\n'), 'Symbol(a\\n)'],
    [Thing, 'function Thing'],
    [() => {}, 'function'],
    [[1, 2], 'an array of 2'],
    [{}, 'an object'],
    [new Thing(), 'an instance of Thing'],
    [new Map(), 'an instance of Map'],
    [new Date(0), 'the Date 1970-01-01T00:00:00.000Z'],
    [new Date(NaN), 'an invalid Date'],
    [revoked(), 'a Proxy'],
    [Object.create(null), 'an object'],
  ]
  for (const [value, words] of table) assert.equal(describe(value), words)
})

test('describe never throws, never runs user code and never gets long', () => {
  const long = [
    'x'.repeat(1e7),
    '\u{1f680}'.repeat(1_000),
    '\u0000'.repeat(1_000),
    '"'.repeat(79),
    10n ** 5_000n,
  ]
  long.push(
    Symbol('s'.repeat(1e6)),
    Object.defineProperty(() => {}, 'name', { value: 'f'.repeat(1e6) }),
  )
  for (const value of [...hostile, ...long]) {
    const words = describe(value)
    assert.equal(typeof words, 'string')
    assert.ok(words.length <= 80, words)
    assert.ok(words.isWellFormed())
    assert.doesNotMatch(words, /[\0-\x1f\x7f-\x9f\u2028\u2029]/)
  }
  assert.match(describe('x'.repeat(1e7)), /^"x+\.\.\."$/)
})

// ---- describeFailure ----

const LIMIT = 16_384

function assertFailure(failure) {
  assert.deepEqual(Object.keys(failure), ['name', 'message', 'stack', 'code'])
  for (const text of Object.values(failure)) {
    assert.equal(typeof text, 'string')
    assert.ok(text.isWellFormed())
    assert.ok(Buffer.byteLength(text) <= LIMIT)
  }
  assert.ok(CODES.has(failure.code))
}

test('an error keeps its name, message and stack', () => {
  const error = new TypeError('x is not a function')
  assert.deepEqual(describeFailure(error), {
    name: 'TypeError',
    message: 'x is not a function',
    stack: error.stack,
    code: 'ERR_TASK_FAILED',
  })
})

test('a code of ours is kept, a foreign one stands in for a missing message', () => {
  assert.equal(describeFailure(new TaskError('no', { code: 'ERR_TASK_INPUT' })).code, 'ERR_TASK_INPUT')
  const system = Object.assign(new Error(''), { code: 'ECONNREFUSED' })
  assert.deepEqual(
    [describeFailure(system).code, describeFailure(system).message],
    ['ERR_TASK_FAILED', 'ECONNREFUSED'],
  )
})

test('what is no error is described', () => {
  const table = [
    ['boom', 'boom'],
    ['', ''],
    [undefined, 'the handler threw undefined'],
    [null, 'the handler threw null'],
    [5, 'the handler threw 5'],
    [Symbol('a'), 'the handler threw Symbol(a)'],
    [{}, 'the handler threw an object'],
    [revoked(), 'the handler threw a Proxy'],
    [{ message: 'like an error' }, 'like an error'],
  ]
  for (const [thrown, message] of table) {
    assert.deepEqual(describeFailure(thrown), { name: 'Error', message, stack: '', code: 'ERR_TASK_FAILED' })
  }
  assert.equal(describeFailure(AbortSignal.abort().reason).name, 'AbortError')
})

test('the stack tells the causes too', () => {
  const root = new Error('connection refused')
  const { stack } = describeFailure(new TypeError('fetch failed', { cause: root }))
  assert.ok(stack.startsWith('TypeError: fetch failed\n'))
  assert.ok(stack.includes('\n[cause]: Error: connection refused\n'))
  const chain = [1, 2, 3, 4, 5].reduce((cause, number) => new Error(`number ${number}`, { cause }), undefined)
  const told = [5, 4, 3, 2, 1].filter(number => describeFailure(chain).stack.includes(`: number ${number}\n`))
  assert.deepEqual(told, [5, 4, 3, 2])
  const circle = new Error('circle')
  circle.cause = circle
  assertFailure(describeFailure(circle))
})

test('nothing a handler can throw gets through as an exception', () => {
  for (const thrown of hostile) assertFailure(describeFailure(thrown))
})

test('long texts are cut at a character, and the frames survive a long message', () => {
  const long = [
    'x'.repeat(1e8),
    '\u00e9'.repeat(LIMIT),
    '\u{1f680}'.repeat(LIMIT),
    '\ud800'.repeat(LIMIT),
    `a${'\u{1f680}'.repeat(5_000)}`,
  ]
  for (const message of long) {
    const error = new Error(message)
    error.name = message
    for (const thrown of [message, error, { message, name: message, stack: message }]) {
      const failure = describeFailure(thrown)
      assertFailure(failure)
      assert.ok(failure.message.endsWith('...'))
      assert.ok(Buffer.byteLength(failure.message) > LIMIT - 8)
      assert.ok(Buffer.byteLength(failure.name) <= 128)
    }
    assert.match(describeFailure(new Error(message)).stack, /\n {4}at .*04\.errors/)
  }
  const exact = 'x'.repeat(LIMIT)
  assert.equal(describeFailure(exact).message, exact)
  assert.equal(describeFailure({ message: 'abc'.repeat(100), stack: 'd'.repeat(1e7) }, 100).stack.length, 100)
})

// Inputs and results of stored tasks are JSON: what JSON.stringify makes of a value is what the other side gets, and
// what it cannot carry is an error, never a silent change.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { failure, open, rejection } from './support/executors.mjs'

const MIB = 1_048_576

class Money {
  constructor(cents) {
    this.cents = cents
  }
  toJSON() {
    return `${this.cents} cents`
  }
}

const sparse = Array(3)
sparse[1] = 'a'
const getter = {
  get a() {
    return 1
  },
}
const carried = [
  ['null', null],
  ['true', true],
  ['zero', 0],
  ['minus zero', -0],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['a number beyond 2^53', 2 ** 53 + 2],
  ['a large number', 1.7976931348623157e308],
  ['a small number', 5e-324],
  ['a fraction', 0.1],
  ['an empty text', ''],
  ['text', 'text'],
  ['quotes and backslashes', '"\\"\\\\"'],
  ['control characters', '\u0000\u0001\b\f\n\r\t\u001f\u007f'],
  ['line separators', 'a\u2028b\u2029c'],
  ['a lone surrogate', 'a\ud800b\udc00'],
  ['emoji', '\u{1f680}\u{1f469}\u200d\u{1f680}'],
  ['text that looks like JSON', '{"a":1}\n[2]'],
  ['text with line ends', 'line\nline\r\nline'],
  ['an array', [1, 'a', null, [2]]],
  ['a sparse array', sparse],
  ['functions and symbols inside', [() => {}, Symbol('s'), undefined]],
  ['undefined inside', { a: undefined, b: [undefined] }],
  ['a Date', new Date(0)],
  ['a Map', new Map([[1, 2]])],
  ['a Set', new Set([1])],
  ['a Buffer', Buffer.from('abc')],
  ['a typed array', new Float32Array([1.5, Number.NaN])],
  ['an ArrayBuffer', new ArrayBuffer(4)],
  ['a RegExp', /a/g],
  ['an Error', new Error('message')],
  ['a class with toJSON', new Money(5)],
  ['toJSON inside', { price: new Money(5) }],
  ['boxed values', [Object(1), Object('a'), Object(true)]],
  ['an object without prototype', Object.assign(Object.create(null), { a: 1 })],
  ['symbols as keys', { [Symbol('s')]: 1, a: 1 }],
  ['keys that are numbers', { 2: 'b', 1: 'a', '-1': 'c' }],
  ['an empty key', { '': 1 }],
  ['own __proto__', JSON.parse('{"__proto__":{"polluted":true}}')],
  ['constructor and prototype', { constructor: { prototype: { polluted: true } } }],
  ['a Proxy', new Proxy({ a: 1 }, {})],
  ['a getter', getter],
  ['the same object twice', (shared => [shared, shared])({ a: 1 })],
  ['ten thousand keys', Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`k${n}`, n]))],
  ['a deep array', JSON.parse('['.repeat(900) + ']'.repeat(900))],
]
const same = value => JSON.parse(JSON.stringify(value))

test('the handler gets what JSON.parse makes of JSON.stringify, and so does whoever waits for the result', async t => {
  const inputs = []
  let output
  const task = defineTask({
    name: 'task',
    handler: input => {
      inputs.push(input)
      return output
    },
  })
  const executor = open(t)
  for (const [what, value] of carried) {
    output = value
    const handle = await executor.enqueue(task, value)
    assert.deepEqual(await handle.result(), same(value), `result: ${what}`)
    assert.deepEqual(inputs.pop(), same(value), `input: ${what}`)
    const status = await handle.status()
    assert.deepEqual([status.input, status.output], [same(value), same(value)], `status: ${what}`)
  }
  assert.equal(Object.prototype.polluted, undefined)
})

test('undefined counts as null, and a handler that gives nothing has given null', async t => {
  const task = defineTask({ name: 'task', handler: input => assert.equal(input, null) })
  const executor = open(t)
  assert.equal(await (await executor.enqueue(task)).result(), null)
  assert.equal(await (await executor.enqueue(task, undefined)).result(), null)
  const [handle] = await executor.enqueueMany(task, [undefined])
  assert.equal(await handle.result(), null)
})

const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()
const cycle = { a: [] }
cycle.a.push(cycle)
const boom = new RangeError('boom')
/** An object whose toJSON throws this. */
function throwing(thrown) {
  return {
    toJSON() {
      throw thrown
    },
  }
}
const throwingGetter = {
  get a() {
    throw boom
  },
}
const bottomless = []
for (let depth = 0, at = bottomless; depth < 200_000; depth += 1) {
  at.push([])
  at = at[0]
}
const refused = [
  ['a function', () => {}],
  ['a symbol', Symbol('s')],
  ['a BigInt', 5n],
  ['a BigInt inside', { a: [5n] }],
  ['a cycle', cycle],
  ['a getter that throws', throwingGetter],
  ['toJSON that throws', throwing(boom)],
  ['toJSON that gives undefined', { toJSON() {} }],
  ['toJSON that throws a revoked Proxy', throwing(revoked)],
  ['toJSON that throws undefined', throwing(undefined)],
  ['a revoked Proxy', revoked],
  ['a revoked Proxy inside', [revoked]],
  ['what is too deep for the stack', bottomless],
]

test('what JSON cannot carry is refused on the spot, and leaves nothing behind', async t => {
  const task = defineTask({ name: 'task', handler: () => assert.fail('it was run') })
  const executor = open(t)
  for (const [what, value] of refused) {
    const error = await rejection(executor.enqueue(task, value))
    assert.equal(error.code, 'ERR_TASK_SERIALIZE', what)
    assert.equal(error.retryable, false)
    assert.match(error.message, /^the input of "task" cannot be written as JSON/)
    await assert.rejects(executor.enqueueMany(task, [1, value]), failure('ERR_TASK_SERIALIZE'), what)
  }
  assert.equal((await rejection(executor.enqueue(task, throwing(boom)))).cause, boom)
  await executor.onIdle()
  assert.equal((await executor.counts()).completed, 0)
})

test('a result that JSON cannot carry fails the task, without a retry', async t => {
  let value
  let runs = 0
  const task = defineTask({
    name: 'task',
    retry: { attempts: 5, base: 0 },
    handler: () => {
      runs += 1
      return value
    },
  })
  const executor = open(t)
  // A handler that gives a revoked Proxy has failed before that: awaiting it asks it for `then`.
  for (const [what, given] of refused.filter(([, given]) => given !== revoked)) {
    value = given
    runs = 0
    const handle = await executor.enqueue(task)
    const error = await rejection(handle.result())
    assert.equal(error.code, 'ERR_TASK_SERIALIZE', what)
    assert.match(error.message, /^the result/)
    assert.equal(runs, 1, what)
    assert.equal((await handle.status()).state, 'failed')
    // A definition that is executed passes anything by reference.
    assert.equal(await executor.execute(task), given)
  }
})

/** A text of which JSON makes so many bytes. */
const textOf = bytes => 'x'.repeat(bytes - 2)

test('maxPayload counts bytes of JSON: at the limit it is taken, one more is refused', async t => {
  const echo = defineTask({ name: 'echo', handler: input => input })
  for (const limit of [MIB, 100, 65_536]) {
    const executor = open(t, limit === MIB ? {} : { maxPayload: limit })
    for (const bytes of [limit - 1, limit]) {
      assert.equal((await (await executor.enqueue(echo, textOf(bytes))).result()).length, bytes - 2)
    }
    const error = await rejection(executor.enqueue(echo, textOf(limit + 1)))
    assert.equal(error.code, 'ERR_PAYLOAD_SIZE')
    assert.match(error.message, new RegExp(`${limit + 1} bytes.*${limit}`))
    await assert.rejects(executor.enqueueMany(echo, ['', textOf(limit + 1)]), failure('ERR_PAYLOAD_SIZE'))
    assert.equal((await executor.counts()).completed, 2)
  }
})

test('bytes are not characters', async t => {
  const echo = defineTask({ name: 'echo', handler: input => input })
  const executor = open(t, { maxPayload: 100 })
  for (const [char, fits] of [
    ['\u00e9', 49],
    ['\u4efb', 32],
    ['\u{1f680}', 24],
    ['\n', 49],
    ['\ud800', 16],
  ]) {
    assert.equal(await (await executor.enqueue(echo, char.repeat(fits))).result(), char.repeat(fits))
    await assert.rejects(executor.enqueue(echo, char.repeat(fits + 1)), failure('ERR_PAYLOAD_SIZE'))
  }
})

test('a result that is too large fails the task, without a retry', async t => {
  let runs = 0
  const grow = defineTask({
    name: 'grow',
    retry: { attempts: 5, base: 0 },
    handler: bytes => {
      runs += 1
      return textOf(bytes)
    },
  })
  const executor = open(t)
  assert.equal((await (await executor.enqueue(grow, MIB)).result()).length, MIB - 2)
  runs = 0
  const handle = await executor.enqueue(grow, MIB + 1)
  await assert.rejects(handle.result(), failure('ERR_PAYLOAD_SIZE'))
  assert.equal(runs, 1)
  assert.equal((await executor.execute(grow, MIB + 1)).length, MIB - 1)
})

test('depth: what JSON.stringify can write arrives', async t => {
  const echo = defineTask({ name: 'echo', handler: input => input })
  const executor = open(t)
  const deep = JSON.parse(`${'['.repeat(3_000)}${']'.repeat(3_000)}`)
  assert.equal(JSON.stringify(await (await executor.enqueue(echo, deep)).result()), JSON.stringify(deep))
})

test('many large payloads at once arrive whole', async t => {
  const echo = defineTask({ name: 'echo', handler: input => input })
  const executor = open(t, { concurrency: 8 })
  const inputs = Array.from({ length: 30 }, (_, n) => `${n}${'y'.repeat(700_000)}${n}`)
  const handles = await Promise.all(inputs.map(input => executor.enqueue(echo, input)))
  const results = await Promise.all(handles.map(handle => handle.result()))
  assert.ok(results.every((result, n) => result === inputs[n]))
})

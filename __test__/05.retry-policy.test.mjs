// RetryPolicy: `attempts` counts every run, the first included. A policy is data for the engine, and never changes.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { refusal } from './support/refusal.mjs'

const require = createRequire(import.meta.url)
const { RETRY_DEFAULTS, RetryPolicy } = require('../lib/retry.js')

const HOUR = 3_600_000

test('what each kind of policy tells the engine', () => {
  const table = [
    [
      RetryPolicy.exponentialBackoff(3, '1s'),
      { attempts: 3, backoff: 'exponential', base: 1_000, factor: 2, max: HOUR, jitter: 'equal' },
    ],
    [
      RetryPolicy.exponentialBackoff(5, 100, { factor: 1.5, max: '1m', maxElapsed: '10m', jitter: 'full' }),
      {
        attempts: 5,
        backoff: 'exponential',
        base: 100,
        factor: 1.5,
        max: 60_000,
        jitter: 'full',
        maxElapsed: 600_000,
      },
    ],
    [
      RetryPolicy.fixed(4, '5s'),
      { attempts: 4, backoff: 'fixed', base: 5_000, factor: 1, max: 5_000, jitter: 'none' },
    ],
    [
      RetryPolicy.linear(4, '5s'),
      { attempts: 4, backoff: 'linear', base: 5_000, factor: 1, max: HOUR, jitter: 'equal' },
    ],
    [
      RetryPolicy.list(['1s', 5, '1m']),
      {
        attempts: 4,
        backoff: 'list',
        base: 0,
        factor: 1,
        max: 60_000,
        jitter: 'none',
        delays: [1_000, 5, 60_000],
      },
    ],
    [RetryPolicy.none(), { attempts: 1, backoff: 'fixed', base: 0, factor: 1, max: 0, jitter: 'none' }],
    [
      RetryPolicy.custom(3, () => 5),
      { attempts: 3, backoff: 'fixed', base: 0, factor: 1, max: 0, jitter: 'none' },
    ],
    [
      RetryPolicy.from({ attempts: 2 }),
      { attempts: 2, backoff: 'exponential', base: 1_000, factor: 2, max: HOUR, jitter: 'equal' },
    ],
  ]
  for (const [policy, wire] of table) {
    assert.ok(policy instanceof RetryPolicy)
    assert.deepEqual(policy.wire, wire)
    assert.equal(policy.attempts, wire.attempts)
    assert.deepEqual(JSON.parse(JSON.stringify(policy.wire)), wire)
  }
})

test('a list of no delays is a single run', () => {
  assert.equal(RetryPolicy.list([]).attempts, 1)
})

test('no delay that was spelled out is cut by a default', () => {
  assert.equal(RetryPolicy.exponentialBackoff(3, '2h').wire.max, 2 * HOUR)
  assert.equal(RetryPolicy.linear(3, '2h').wire.max, 2 * HOUR)
  assert.equal(RetryPolicy.fixed(3, '2h').wire.max, 2 * HOUR)
  assert.equal(RetryPolicy.list(['2h', 1]).wire.max, 2 * HOUR)
  assert.throws(
    () => RetryPolicy.exponentialBackoff(3, '2h', { max: '1h' }),
    refusal('"max"', 'at least "base"'),
  )
  assert.throws(
    () => RetryPolicy.from({ attempts: 3, base: 10, max: 5 }),
    refusal('"retry.max"', '"retry.base"'),
  )
})

test('a base that nobody wrote does not contradict a max', () => {
  const { base, max } = RetryPolicy.from({ attempts: 3, max: 5 }).wire
  assert.deepEqual({ base, max }, { base: 5, max: 5 })
  assert.equal(RetryPolicy.from({ attempts: 3 }).wire.base, RETRY_DEFAULTS.base)
})

test('functions stay in JavaScript', () => {
  const retryIf = error => error.retryable
  const next = (_error, attempt) => attempt * 10
  assert.equal(RetryPolicy.exponentialBackoff(3, 1, { retryIf }).retryIf, retryIf)
  assert.equal(RetryPolicy.from({ attempts: 3, retryIf }).retryIf, retryIf)
  assert.equal(RetryPolicy.custom(3, next).next, next)
  assert.equal(RetryPolicy.fixed(3, 1).retryIf, undefined)
  assert.equal(RetryPolicy.fixed(3, 1).next, undefined)
})

test('a policy never changes', () => {
  const delays = [1, 2]
  const policy = RetryPolicy.list(delays)
  delays.push(3)
  assert.deepEqual(policy.wire.delays, [1, 2])
  for (const part of [policy, policy.wire, policy.wire.delays]) assert.ok(Object.isFrozen(part))
  assert.throws(() => {
    policy.attempts = 9
  }, TypeError)
  assert.throws(() => policy.wire.delays.push(3), TypeError)
})

test('from gives a policy back as it is, and knows a real one', () => {
  const policy = RetryPolicy.fixed(2, 1)
  assert.equal(RetryPolicy.from(policy), policy)
  for (const fake of [Object.create(RetryPolicy.prototype), new Proxy(policy, {}), { wire: policy.wire }]) {
    assert.throws(() => RetryPolicy.from(fake), refusal())
  }
})

test('a policy is made by its functions', () => {
  assert.throws(() => new RetryPolicy(), refusal('RetryPolicy.exponentialBackoff()'))
  assert.throws(() => new RetryPolicy(Symbol('RetryPolicy'), {}), refusal())
})

test('numbers are checked, and named', () => {
  const counts = [0, -1, 1.5, NaN, Infinity, 2 ** 31, 2 ** 53, '3', null, undefined, 3n, {}]
  const make = [
    count => RetryPolicy.exponentialBackoff(count, 1),
    count => RetryPolicy.fixed(count, 1),
    count => RetryPolicy.linear(count, 1),
    count => RetryPolicy.custom(count, () => 1),
    count => RetryPolicy.from({ attempts: count }),
  ]
  for (const policy of make) {
    assert.equal(policy(2 ** 31 - 1).attempts, 2 ** 31 - 1)
    for (const count of counts)
      assert.throws(() => policy(count), refusal('attempts"', 'from 1 to 2147483647', 'got '))
  }
  for (const factor of [1, 1.5, 1_000])
    assert.equal(RetryPolicy.from({ attempts: 2, factor }).wire.factor, factor)
  for (const factor of [0, 0.9, -2, 1_001, NaN, Infinity, '2', null]) {
    assert.throws(
      () => RetryPolicy.from({ attempts: 2, factor }),
      refusal('"retry.factor"', 'from 1 to 1000'),
    )
  }
  for (const delay of [-1, NaN, Infinity, '5', '5 s', null, undefined, {}, 2 ** 53]) {
    assert.throws(() => RetryPolicy.exponentialBackoff(2, delay), refusal('"base"'))
    assert.throws(() => RetryPolicy.fixed(2, delay), refusal('"delay"'))
    assert.throws(() => RetryPolicy.linear(2, delay), refusal('"base"'))
    assert.throws(() => RetryPolicy.list([1, delay]), refusal('"delays[1]"'))
  }
})

test('options are checked, and misspelt ones are named', () => {
  const build = options => RetryPolicy.exponentialBackoff(2, 1, options)
  assert.throws(
    () => build({ jiter: 'full' }),
    refusal('RetryPolicy.exponentialBackoff()', 'did you mean "jitter"?'),
  )
  assert.throws(() => build({ attempts: 5 }), refusal('"attempts" is not an option'))
  assert.throws(() => build({ jitter: 'ful' }), refusal('did you mean "full"?'))
  assert.throws(() => build({ maxElapsed: 0 }), refusal('"maxElapsed"'))
  assert.throws(() => build({ retryIf: true }), refusal('"retryIf" must be a function'))
  assert.throws(() => build(null), refusal('a plain object; got null'))
  assert.throws(() => RetryPolicy.custom(2), refusal('"next" must be a function; got undefined'))
  assert.throws(
    () => RetryPolicy.from({ attempt: 5 }),
    refusal('"retry.attempt"', 'did you mean "retry.attempts"?'),
  )
  assert.throws(() => RetryPolicy.from({}), refusal('"retry.attempts"', 'got undefined'))
  for (const value of [undefined, null, 3, '3', () => 3]) {
    assert.throws(
      () => RetryPolicy.from(value, 'retry'),
      refusal('"retry" must be a RetryPolicy or its options'),
    )
  }
})

test('a list has 1000 delays at most, and no holes', () => {
  const delays = Array.from({ length: 1_001 }, () => 1)
  assert.equal(RetryPolicy.list(delays.slice(1)).attempts, 1_001)
  assert.throws(() => RetryPolicy.list(delays), refusal('got an array of 1001'))
  assert.throws(() => RetryPolicy.list(Object.assign([], { 1: 5 })), refusal('"delays[0]"', 'got undefined'))
  for (const value of [undefined, null, 5, '1s', new Set([1])]) {
    assert.throws(() => RetryPolicy.list(value), refusal('"delays" must be an array'))
  }
})

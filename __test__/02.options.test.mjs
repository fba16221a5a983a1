// Options: what goes through, and what it comes out as.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import vm from 'node:vm'

const require = createRequire(import.meta.url)
const { toMillis } = require('../lib/duration.js')
const options = require('../lib/options.js')
const { RetryPolicy } = require('../lib/retry.js')

const { DEFAULTS, closeOptions, enqueueOptions, executorOptions, resultOptions, runOptions, taskFilter } =
  options

// What comes out inherits nothing, so that nobody's additions to the prototype of all objects become options.
function equalOptions(found, wanted) {
  for (let from = found; from !== null; from = Object.getPrototypeOf(from)) {
    if (from !== found) assert.deepEqual(Reflect.ownKeys(from), [])
  }
  assert.deepEqual({ ...found }, { ...wanted })
}

test('options come out with durations in ms, dates in epoch ms and policies as RetryPolicy', () => {
  const { signal } = new AbortController()
  const retry = RetryPolicy.fixed(3, '1s')
  equalOptions(runOptions({ priority: -5, timeout: '1.5s', retry, signal }), {
    priority: -5,
    timeout: 1_500,
    retry,
    signal,
  })
  equalOptions(
    enqueueOptions({
      queue: 'mail',
      id: 'a',
      runAt: new Date(5_000),
      key: 'k',
      onConflict: 'replace',
      throttle: '2s',
      group: 'g',
      after: [{ id: 'b' }, 'c', 'b'],
      onBlockerFailure: 'run',
      expiresAt: new Date(9_000),
      metadata: { lang: 'en' },
    }),
    {
      queue: 'mail',
      id: 'a',
      runAt: 5_000,
      key: 'k',
      onConflict: 'replace',
      throttle: 2_000,
      group: 'g',
      after: ['b', 'c'],
      onBlockerFailure: 'run',
      expiresAt: 9_000,
      metadata: { lang: 'en' },
    },
  )
  equalOptions(taskFilter({ state: 'failed', createdAfter: new Date(7), search: 'x', limit: 10 }), {
    state: ['failed'],
    createdAfter: 7,
    search: 'x',
    limit: 10,
  })
  assert.deepEqual(taskFilter({ state: ['failed', 'waiting', 'failed'] }).state, ['failed', 'waiting'])
  equalOptions(closeOptions({ gracePeriod: '0s' }), { gracePeriod: 0 })
  equalOptions(resultOptions({ signal }), { signal })
})

test('a plain retry option becomes a policy', () => {
  const { retry } = runOptions({ retry: { attempts: 3, base: '2s' } })
  assert.ok(retry instanceof RetryPolicy)
  assert.equal(retry.wire.base, 2_000)
})

test('no options are no options, and undefined counts as absent', () => {
  for (const read of [closeOptions, enqueueOptions, executorOptions, resultOptions, runOptions, taskFilter]) {
    assert.deepEqual(read({}), read(undefined))
  }
  equalOptions(runOptions({ timeout: undefined, retry: undefined }), {})
  equalOptions(enqueueOptions({ key: undefined, metadata: undefined, delay: undefined }), {})
  assert.deepEqual(enqueueOptions({ metadata: { a: undefined, b: 'c' } }).metadata, { b: 'c' })
  equalOptions(executorOptions({ concurrency: undefined, retention: undefined }), executorOptions())
})

test('runOptions(undefined) is one shared frozen object', () => {
  assert.equal(runOptions(undefined), runOptions())
  assert.ok(Object.isFrozen(runOptions()))
  assert.notEqual(runOptions({}), runOptions())
})

test('what comes out is a copy', () => {
  const given = { queue: 'a', metadata: { a: 'b' }, after: ['x'] }
  const read = enqueueOptions(given)
  given.metadata.a = 'c'
  given.after.push('y')
  equalOptions(read, { queue: 'a', metadata: { a: 'b' }, after: ['x'] })
  for (const shared of [DEFAULTS, DEFAULTS.retention, ...Object.values(DEFAULTS.retention)]) {
    assert.ok(Object.isFrozen(shared))
  }
  const limits = executorOptions()
  limits.retention.failed = { count: 1 }
  assert.deepEqual(executorOptions().retention.failed, { count: 1_000 })
})

test('objects without prototype and of other realms are plain objects', () => {
  equalOptions(runOptions(Object.assign(Object.create(null), { priority: 1 })), { priority: 1 })
  equalOptions(runOptions(vm.runInNewContext('({ priority: 1 })')), { priority: 1 })
  equalOptions(enqueueOptions(vm.runInNewContext('({ runAt: new Date(5) })')), { runAt: 5 })
})

test('a signal may be of another class than the one of this realm', () => {
  const signal = { aborted: false, addEventListener() {}, removeEventListener() {} }
  assert.equal(runOptions({ signal }).signal, signal)
})

test('what somebody put on Object.prototype is not an option', t => {
  t.after(() => {
    delete Object.prototype.timeout
    delete Object.prototype.nonsense
  })
  Object.prototype.timeout = 5
  Object.prototype.nonsense = 5
  assert.deepEqual(Object.keys(runOptions({ priority: 1 })), ['priority'])
  assert.deepEqual(Object.keys(enqueueOptions({ priority: 1 })), ['priority'])
})

test('dates before 1970 are as past as 1970', () => {
  assert.equal(enqueueOptions({ runAt: new Date(-5) }).runAt, 0)
})

test('a debounce waits at most ten times as long, unless it says otherwise', () => {
  assert.deepEqual(enqueueOptions({ key: 'k', debounce: '2s' }).debounce, { wait: 2_000, maxWait: 20_000 })
  assert.deepEqual(enqueueOptions({ key: 'k', debounce: { wait: 5 } }).debounce, { wait: 5, maxWait: 50 })
  assert.deepEqual(enqueueOptions({ key: 'k', debounce: { wait: 5, maxWait: 5 } }).debounce, {
    wait: 5,
    maxWait: 5,
  })
  assert.deepEqual(enqueueOptions({ key: 'k', debounce: '36525d' }).debounce.maxWait, toMillis('36525d', ''))
})

test('queues are names, with or without limits', () => {
  assert.deepEqual(executorOptions({ queues: [] }).queues, [])
  assert.deepEqual(executorOptions({ queues: ['a', 'b', 'a'] }).queues, [{ name: 'a' }, { name: 'b' }])
  assert.deepEqual(executorOptions({ queues: { a: { concurrency: 2 }, b: {} } }).queues, [
    { name: 'a', concurrency: 2 },
    { name: 'b' },
  ])
})

test('retention is replaced state by state', () => {
  const { retention } = executorOptions({ retention: { failed: { age: '1d' } } })
  equalOptions(retention.failed, { age: 86_400_000 })
  assert.deepEqual(
    { ...retention, failed: undefined },
    {
      completed: { count: 1_000 },
      failed: undefined,
      cancelled: { count: 1_000 },
    },
  )
})

test('metadata may have any names, also those of Object.prototype', () => {
  const given = JSON.parse('{"__proto__":"a","constructor":"b","toString":"c"}')
  const { metadata } = enqueueOptions({ metadata: given })
  assert.deepEqual(Object.entries(metadata), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
    ['toString', 'c'],
  ])
  assert.equal(Object.getPrototypeOf(metadata), Object.prototype)
  assert.equal(JSON.stringify(metadata), JSON.stringify(given))
})

// Task definitions: what a kind of task says about itself.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { refusal } from './support/refusal.mjs'

const require = createRequire(import.meta.url)
const { checkDefinition, defineTask } = require('../lib/definition.js')
const { executorOptions } = require('../lib/options.js')
const { CircuitBreaker } = require('../lib/circuit-breaker.js')
const { RateLimiter } = require('../lib/rate-limiter.js')
const { RetryPolicy } = require('../lib/retry.js')

test('a definition comes out with all its fields', () => {
  const handler = () => {}
  const input = { '~standard': { version: 1, vendor: 'test', validate: value => ({ value }) } }
  const retry = RetryPolicy.fixed(2, 5)
  const full = {
    name: 'a',
    description: 'd',
    input,
    handler,
    isolation: 'inline',
    module: undefined,
    queue: 'q',
    priority: 1,
    timeout: '1s',
    retry,
    rateLimit: RateLimiter.perSecond(5),
    circuitBreaker: new CircuitBreaker(),
    concurrency: 2,
    schedule: '@daily',
  }
  assert.deepEqual(checkDefinition(full), {
    ...full,
    timeout: 1_000,
    concurrency: { perNode: 2, total: undefined, perGroup: undefined },
    schedule: { __proto__: null, cron: '@daily' },
  })
  const none = { perNode: undefined, total: undefined, perGroup: undefined }
  const bare = checkDefinition({ name: 'a' })
  assert.deepEqual(Object.keys(bare).sort(), Object.keys(full).sort())
  assert.deepEqual(
    { ...bare },
    {
      ...Object.fromEntries(Object.keys(full).map(key => [key, undefined])),
      name: 'a',
      isolation: 'inline',
      concurrency: none,
    },
  )
  assert.ok(Object.isFrozen(bare) && Object.isFrozen(bare.concurrency))
})

test('defineTask gives a frozen copy that is checked once', () => {
  const given = { name: 'a', timeout: '1s', handler() {} }
  const task = defineTask(given)
  assert.notEqual(task, given)
  assert.deepEqual(task, given)
  assert.ok(Object.isFrozen(task))
  given.timeout = 'never'
  assert.equal(checkDefinition(task), checkDefinition(task))
  assert.equal(checkDefinition(task).timeout, 1_000)
  assert.equal(defineTask(task), task)
  assert.deepEqual(executorOptions({ tasks: [task] }).tasks, [checkDefinition(task)])
  assert.throws(() => executorOptions({ tasks: [task, given] }), refusal('"tasks[1].timeout"'))
})

test('a definition refuses what it cannot be', () => {
  const standard = { version: 1, vendor: 'v', validate() {} }
  const table = [
    [undefined, '"task" must be a task definition; got undefined'],
    [null, 'a plain object'],
    ['a', 'a plain object'],
    [() => {}, 'a plain object'],
    [{}, '"name" must be a name'],
    [{ name: 'a', handler: 'b' }, '"handler" must be a function'],
    [{ name: 'a', handler: null }, '"handler" must be a function'],
    [{ name: 'a', description: 5 }, '"description" must be well-formed text'],
    [{ name: 'a', input: {} }, '"input" must be a schema'],
    [{ name: 'a', input: null }, '"input" must be a schema'],
    [{ name: 'a', input: { '~standard': { ...standard, version: 2 } } }, '"input" must be a schema'],
    [{ name: 'a', input: { '~standard': { ...standard, validate: 5 } } }, '"input" must be a schema'],
    [{ name: 'a', retry: 5 }, '"retry" must be a RetryPolicy'],
    [{ name: 'a', handlr() {} }, '"handlr" is not an option of a task definition; did you mean "handler"?'],
  ]
  for (const [given, message] of table) {
    assert.throws(() => checkDefinition(given), refusal(message))
    assert.throws(() => defineTask(given), refusal())
  }
  assert.doesNotThrow(() =>
    checkDefinition({ name: 'a', input: Object.assign(() => {}, { '~standard': standard }) }),
  )
})

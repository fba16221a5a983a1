// Options that are wrong, through the API: the error names the option, what was given and what is allowed; nothing has
// happened. The complete table of values is in 06.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, RetryPolicy, TaskError, TaskExecutor } from '../index.js'
import { collect, open, rejection } from './support/executors.mjs'
import { refusal } from './support/refusal.mjs'

const noop = () => {}
const task = defineTask({ name: 'task', handler: noop })

/** Every call that takes an object of options, as `(executor, options) => promise`. */
const calls = {
  'TaskExecutor()': async (_, options) => new TaskExecutor(options).close(),
  'execute()': (executor, options) => executor.execute(noop, options),
  'execute() of a definition': (executor, options) => executor.execute(task, 1, options),
  'executeAll()': (executor, options) => executor.executeAll([noop], options),
  'enqueue()': (executor, options) => executor.enqueue(task, 1, options),
  'enqueueMany()': (executor, options) => executor.enqueueMany(task, [1], options),
  'list()': async (executor, options) => collect(executor.list(options)),
  'retryAll()': (executor, options) => executor.retryAll(options),
  'cancelAll()': (executor, options) => executor.cancelAll(options),
  'prune()': (executor, options) => executor.prune(options),
  'events()': async (executor, options) => executor.events(options).return(),
  'close()': (_, options) => new TaskExecutor().close(options),
  'result()': async (executor, options) => (await executor.enqueue(task)).result(options),
}

test('options are a plain object, whatever the call', async t => {
  const executor = open(t)
  const values = [null, 5, 'a', true, 5n, Symbol('a'), [], noop, new Map(), new Date(), Promise.resolve()]
  for (const [call, make] of Object.entries(calls)) {
    for (const value of values) {
      // Options of each input.
      if (call === 'enqueueMany()' && value === noop) continue
      const error = await rejection(make(executor, value))
      assert.ok(refusal('must be a plain object; got ')(error), `${call} ${String(value)}`)
    }
  }
})

test('an unknown option names the call, and what was meant', async t => {
  const executor = open(t)
  const meant = {
    'TaskExecutor()': ['concurency', 'concurrency'],
    'execute()': ['timout', 'timeout'],
    'execute() of a definition': ['priorty', 'priority'],
    'executeAll()': ['Retry', 'retry'],
    'enqueue()': ['dealy', 'delay'],
    'enqueueMany()': ['runat', 'runAt'],
    'list()': ['states', 'state'],
    'retryAll()': ['quue', 'queue'],
    'cancelAll()': ['nmae', 'name'],
    'prune()': ['createdbefore', 'createdBefore'],
    'events()': ['singal', 'signal'],
    'close()': ['grace', 'gracePeriod'],
    'result()': ['sig', 'signal'],
  }
  for (const [call, make] of Object.entries(calls)) {
    const [given, right] = meant[call]
    const error = await rejection(make(executor, { [given]: 1 }))
    assert.ok(
      refusal(`"${given}" is not an option of ${call.split(' ')[0]}`, `did you mean "${right}"?`)(error),
    )
    assert.equal(error.retryable, false)
  }
})

test('null is never a default, and undefined always is', async t => {
  const executor = open(t)
  const names = {
    'TaskExecutor()': ['concurrency', 'maxQueue', 'retry', 'queues', 'signal', 'retention', 'tasks'],
    'execute()': ['priority', 'timeout', 'retry', 'signal'],
    'enqueue()': ['id', 'delay', 'runAt', 'key', 'group', 'after', 'metadata', 'expiresAt', 'timeout'],
    'list()': ['state', 'queue', 'name', 'search', 'createdBefore', 'group', 'limit', 'cursor'],
    'close()': ['gracePeriod'],
    'result()': ['signal'],
  }
  for (const [call, options] of Object.entries(names)) {
    for (const name of options) {
      assert.ok(refusal(`"${name}"`, 'null')(await rejection(calls[call](executor, { [name]: null }))))
      await calls[call](executor, { [name]: undefined })
    }
  }
})

test('numbers, durations, words, dates and signals of the wrong kind', async t => {
  const executor = open(t)
  const table = [
    ['TaskExecutor()', { concurrency: 0 }, 'a whole number from 1 to 1000000', 'got 0'],
    ['TaskExecutor()', { concurrency: 1.5 }, 'a whole number', 'got 1.5'],
    ['TaskExecutor()', { concurrency: Number.POSITIVE_INFINITY }, 'a whole number', 'got Infinity'],
    ['TaskExecutor()', { concurrency: '5' }, 'a whole number', 'got "5"'],
    ['TaskExecutor()', { maxPayload: 2 ** 31 }, 'a whole number', 'got 2147483648'],
    ['TaskExecutor()', { queues: { mail: { concurrency: 0 } } }, '"queues.mail.concurrency"', 'got 0'],
    ['TaskExecutor()', { retention: { failed: { count: -1 } } }, '"retention.failed.count"', 'got -1'],
    ['TaskExecutor()', { tasks: [task, 5] }, '"tasks[1]"', 'got 5'],
    ['TaskExecutor()', { tasks: [{ name: 'a', handler: 5 }] }, '"tasks[0].handler"', 'a function', 'got 5'],
    ['TaskExecutor()', { persistence: 'sqlit:./a.db' }, '"sqlite:<path of a file>"', 'got "sqlit:./a.db"'],
    ['execute()', { priority: 2 ** 31 }, 'from -2147483648 to 2147483647', 'got 2147483648'],
    ['execute()', { priority: Number.NaN }, 'a whole number', 'got NaN'],
    ['execute()', { timeout: '30 s' }, 'a duration', 'did you mean "30s"?'],
    ['execute()', { timeout: 0 }, 'a duration from 1 ms', 'got 0'],
    ['execute()', { timeout: 2 ** 53 }, 'a duration', 'got 9007199254740992'],
    ['execute()', { signal: {} }, 'an AbortSignal', 'got an object'],
    ['execute()', { retry: 3 }, 'a RetryPolicy or its options', 'got 3'],
    ['execute()', { retry: { attempts: 0 } }, '"retry.attempts"', 'got 0'],
    ['execute()', { retry: { attempts: 3, bas: 5 } }, 'did you mean "retry.base"?'],
    ['execute()', { retry: { base: 5 } }, '"retry.attempts"', 'got undefined'],
    ['executeAll()', { priority: '1' }, '"priority"', 'got "1"'],
    ['enqueue()', { delay: -1 }, '"delay"', 'got -1'],
    ['enqueue()', { delay: 5, runAt: new Date() }, '"delay" and "runAt"', 'exclude each other'],
    ['enqueue()', { runAt: '2026-01-01' }, 'a valid Date', 'got "2026-01-01"'],
    ['enqueue()', { runAt: new Date(Number.NaN) }, 'a valid Date', 'got an invalid Date'],
    ['enqueue()', { onConflict: 'ignore' }, 'needs "key"'],
    ['enqueue()', { key: 'k', onConflict: 'replce' }, 'did you mean "replace"?'],
    ['enqueue()', { after: 'a' }, 'an array', 'got "a"'],
    ['enqueue()', { metadata: { a: 5 } }, '"metadata.a"', 'got 5'],
    ['enqueue()', { retry: RetryPolicy.custom(3, () => 5) }, 'give this policy to the definition'],
    ['enqueueMany()', { id: '' }, '"id"', 'it is empty'],
    ['list()', { state: 'done' }, 'one of "scheduled"', 'got "done"'],
    ['list()', { limit: 0 }, '"limit"', 'got 0'],
    ['list()', { search: '' }, '"search"', 'got ""'],
    ['prune()', { createdBefore: 5 }, 'a valid Date', 'got 5'],
    ['close()', { gracePeriod: 'soon' }, '"gracePeriod"', 'got "soon"'],
    ['result()', { signal: 5 }, 'an AbortSignal', 'got 5'],
    ['events()', { signal: 5 }, 'an AbortSignal', 'got 5'],
  ]
  for (const [call, options, ...parts] of table) {
    assert.ok(refusal(...parts)(await rejection(calls[call](executor, options))), call)
  }
})

test('the functions of RetryPolicy, TaskError and defineTask throw', () => {
  const table = [
    [() => RetryPolicy.exponentialBackoff(0, 5), '"attempts"', 'got 0'],
    [() => RetryPolicy.exponentialBackoff(3), '"base"', 'got undefined'],
    [() => RetryPolicy.exponentialBackoff(3, 100, { max: 50 }), '"max"', 'at least "base"'],
    [() => RetryPolicy.exponentialBackoff(3, 1, { jiter: 'none' }), 'did you mean "jitter"?'],
    [() => RetryPolicy.fixed('3', 1), '"attempts"', 'got "3"'],
    [() => RetryPolicy.linear(3, -1), '"base"', 'got -1'],
    [() => RetryPolicy.list([1, 'x']), '"delays[1]"', 'got "x"'],
    [() => RetryPolicy.custom(3), '"next"', 'a function'],
    [() => new RetryPolicy(), 'made by its functions'],
    [() => new TaskError('a', { code: 'ERR_MINE' }), '"code"', 'got "ERR_MINE"'],
    [() => TaskError.retryAfter('later'), '"delay"', 'got "later"'],
    [() => defineTask(), 'a plain object'],
    [() => defineTask({ name: 'a', handlr: noop }), 'did you mean "handler"?'],
    [() => TaskExecutor.withRetry({ attempts: -1 }), '"retry.attempts"', 'got -1'],
    [() => TaskExecutor.withPersistence('file:a.db'), '"persistence"', 'got "file:a.db"'],
    [() => new TaskExecutor({ durability: 'stric' }), '"durability"', 'did you mean "strict"?'],
    [() => new TaskExecutor({ lease: '10ms' }), '"lease"'],
  ]
  for (const [make, ...parts] of table) assert.throws(make, refusal(...parts))
})

test('the arguments that are no options', async t => {
  const executor = open(t)
  for (const wrong of [undefined, null, 5, Symbol('a')]) {
    for (const call of ['execute', 'enqueue']) {
      assert.ok(refusal(`${call}() takes`)(await rejection(executor[call](wrong, 1))))
    }
    assert.ok(refusal('must be iterable')(await rejection(executor.enqueueMany(task, wrong))))
    assert.ok(refusal('"id"')(await rejection(executor.get(wrong))))
    assert.throws(() => executor.register(wrong), refusal())
  }
  assert.ok(
    refusal('enqueue() takes a task definition or its name; got function')(
      await rejection(executor.enqueue(noop)),
    ),
  )
})

test('a mistake is told before anything happens', async t => {
  const executor = open(t)
  let runs = 0
  const count = defineTask({ name: 'count', handler: () => ++runs })
  const wrong = { nonsense: 1 }
  await rejection(executor.execute(count, 1, wrong))
  await rejection(executor.enqueue(count, 1, wrong))
  await rejection(executor.enqueueMany(count, [1, 2], wrong))
  await rejection(executor.executeAll([() => ++runs], wrong))
  await executor.onIdle()
  assert.equal(runs, 0)
  assert.equal((await collect(executor.list())).length, 0)
})

test('a getter is read once, and what it throws is the cause', async t => {
  const executor = open(t)
  let reads = 0
  const once = {
    get timeout() {
      reads += 1
      return reads === 1 ? '1h' : 'never'
    },
  }
  await executor.execute(noop, once)
  assert.equal(reads, 1)
  const boom = new RangeError('boom')
  const throwing = {
    get timeout() {
      throw boom
    },
  }
  for (const call of ['execute()', 'enqueue()', 'TaskExecutor()']) {
    const error = await rejection(calls[call](executor, throwing))
    assert.ok(refusal('boom')(error))
    assert.equal(error.cause, boom)
  }
})

// Circuit breakers: the object by itself, and in front of closures and tasks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CircuitBreaker, TaskError, TaskExecutor } from '../index.js'
import { open } from './support/executors.mjs'

const fail = async () => {
  throw new Error('503')
}
const aborted = signal =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
const after = ms => new Promise(resolve => setTimeout(resolve, ms))

test('it opens when half of the calls fail, and closes when a probe succeeds', async () => {
  const breaker = new CircuitBreaker({ window: 4, minCalls: 4, openFor: 30, name: 'upstream' })
  for (const work of [async () => 1, fail, async () => 1, fail]) {
    assert.equal(breaker.state, 'closed')
    await breaker.execute(work).catch(() => {})
  }
  assert.equal(breaker.state, 'open')
  const refusal = await breaker.execute(() => assert.fail('not called')).catch(error => error)
  assert.ok(refusal instanceof TaskError)
  assert.equal(refusal.code, 'ERR_CIRCUIT_OPEN')
  assert.ok(refusal.retryAfter <= 30)
  assert.match(refusal.message, /^the circuit breaker "upstream" is open; it may be asked again in/)
  while (breaker.state === 'open') await after(5)
  assert.equal(breaker.state, 'half-open')
  let release
  const probe = breaker.execute(() => new Promise(resolve => (release = resolve)))
  await assert.rejects(breaker.execute(fail), { code: 'ERR_CIRCUIT_OPEN' })
  release('well')
  assert.equal(await probe, 'well')
  assert.equal(breaker.state, 'closed')
})

test('what is not the fault of the upstream does not count', async () => {
  const breaker = new CircuitBreaker({ window: 2, minCalls: 2 })
  const abort = Object.assign(new Error('aborted'), { name: 'AbortError' })
  for (const error of [
    TaskError.fatal('bad input'),
    abort,
    new TaskError('x', { code: 'ERR_RATE_LIMITED' }),
  ]) {
    for (let n = 0; n < 3; n += 1)
      await assert.rejects(
        breaker.execute(() => Promise.reject(error)),
        error,
      )
  }
  assert.equal(breaker.state, 'closed')
  const seen = []
  const picky = new CircuitBreaker({
    window: 2,
    minCalls: 2,
    isFailure: error => seen.push(error.cause.status) > 0 && error.cause.status >= 500,
  })
  const status = code => () => Promise.reject(Object.assign(new Error('http'), { status: code }))
  for (const code of [404, 404, 503]) await assert.rejects(picky.execute(status(code)), { status: code })
  assert.equal(picky.state, 'closed')
  await assert.rejects(picky.execute(status(500)))
  assert.equal(picky.state, 'open')
  assert.deepEqual(seen, [404, 404, 503, 500])
})

test('by hand it is opened, for a time or for good, and closed', async () => {
  const breaker = new CircuitBreaker()
  breaker.open()
  assert.equal(breaker.state, 'open')
  const refusal = await breaker.execute(fail).catch(error => error)
  assert.equal(refusal.retryAfter, undefined)
  breaker.close()
  assert.equal(breaker.state, 'closed')
  breaker.open('1h')
  assert.ok((await breaker.execute(fail).catch(error => error)).retryAfter > 3_590_000)
})

test('a call that takes too long counts as a failure', async () => {
  const breaker = new CircuitBreaker({ window: 2, minCalls: 2, slowCall: 5 })
  await breaker.execute(() => after(30))
  await breaker.execute(() => after(30))
  assert.equal(breaker.state, 'open')
})

test('closures are refused while it is open; enqueued tasks wait and lose no attempt', async t => {
  const breaker = new CircuitBreaker({ window: 4, minCalls: 4, openFor: 60_000, name: 'db' })
  const executor = open(t, { concurrency: 1 })
  let isUp = false
  const runs = []
  const task = {
    name: 'query',
    circuitBreaker: breaker,
    retry: { attempts: 5, base: 1, max: 1 },
    handler: (n, { attempt }) => {
      runs.push([n, attempt])
      if (!isUp) throw new Error('down')
      return n
    },
  }
  const gates = []
  executor.on('gate', ({ name, state }) => gates.push([name, state]))
  const handles = await executor.enqueueMany(
    task,
    Array.from({ length: 200 }, (_, n) => n),
  )
  while (breaker.state !== 'open') await after(1)
  await assert.rejects(executor.execute(task, 1), { code: 'ERR_CIRCUIT_OPEN' })
  await assert.rejects(executor.execute(task, 1, { timeout: 50 }), { code: 'ERR_CIRCUIT_OPEN' })
  const before = runs.length
  const { waitingFor } = await handles[199].status()
  assert.equal(waitingFor.reason, 'breaker')
  assert.equal(waitingFor.name, 'db')
  assert.ok(waitingFor.until > new Date())
  isUp = true
  breaker.close()
  const outputs = await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(
    outputs,
    outputs.map((_, n) => n),
  )
  assert.equal(before, 4, 'no attempt beyond those that opened it')
  assert.equal(runs.length, 204)
  assert.deepEqual(gates, [
    ['db', 'open'],
    ['db', 'closed'],
  ])
})

test('after a retryable failure a closure meets the open breaker, with that failure as the cause', async t => {
  const breaker = new CircuitBreaker({ window: 1, minCalls: 1 })
  const executor = open(t, { circuitBreaker: breaker })
  const error = await executor.execute(fail, { retry: { attempts: 3, base: 1 } }).catch(error => error)
  assert.equal(error.code, 'ERR_CIRCUIT_OPEN')
  assert.equal(error.cause.message, '503')
})

test('one breaker for several kinds, and the failures of one hold the other', async t => {
  const breaker = new CircuitBreaker({ window: 2, minCalls: 2 })
  const executor = open(t)
  const read = { name: 'read', circuitBreaker: breaker, handler: fail }
  const write = { name: 'write', circuitBreaker: breaker, handler: () => 'written' }
  await assert.rejects(executor.execute(read))
  await assert.rejects(executor.execute(read))
  await assert.rejects(executor.execute(write), { code: 'ERR_CIRCUIT_OPEN' })
  assert.equal(await executor.execute(() => 'free'), 'free')
})

test('tasks may fail instead of waiting', async t => {
  const breaker = new CircuitBreaker({ whenOpen: 'fail' })
  breaker.open('1h')
  const executor = open(t, { circuitBreaker: breaker })
  const handle = await executor.enqueue({ name: 'work', handler: () => {} })
  await assert.rejects(handle.result(), { code: 'ERR_CIRCUIT_OPEN' })
})

test('a timeout counts, a snooze and a cancel do not', async t => {
  const breaker = new CircuitBreaker({ window: 2, minCalls: 2, failureRate: 1 })
  const executor = open(t, { circuitBreaker: breaker })
  let snoozed = 0
  const nap = { name: 'nap', handler: (_, ctx) => (snoozed++ < 5 ? ctx.snooze(1) : snoozed) }
  assert.equal(await (await executor.enqueue(nap)).result(), 6)
  for (let n = 0; n < 3; n += 1) {
    const controller = new AbortController()
    const running = executor.execute(({ signal }) => aborted(signal), { signal: controller.signal })
    await after(2)
    controller.abort(new Error('no more'))
    await assert.rejects(running, /no more/)
  }
  assert.equal(breaker.state, 'closed')
  const hung = () => new Promise(() => {})
  await assert.rejects(executor.execute(hung, { timeout: 5 }), { code: 'ERR_TASK_TIMEOUT' })
  await assert.rejects(executor.execute(hung, { timeout: 5 }), { code: 'ERR_TASK_TIMEOUT' })
  assert.equal(breaker.state, 'open')
})

test('wrong options are named', () => {
  const code = { code: 'ERR_OPTION' }
  assert.throws(() => new CircuitBreaker({ window: 5, minCalls: 6 }), {
    ...code,
    message: '"minCalls" must be at most "window", which is 5; got 6',
  })
  assert.throws(() => new CircuitBreaker({ openFor: '1m', maxOpenFor: '1s' }), {
    ...code,
    message: /"maxOpenFor"/,
  })
  assert.throws(() => new CircuitBreaker({ shared: true }), {
    ...code,
    message: /"name" must be given where/,
  })
  assert.throws(() => new CircuitBreaker({ failureRate: 0 }), { ...code, message: /"failureRate"/ })
  assert.throws(() => new TaskExecutor({ circuitBreaker: 1 }), {
    ...code,
    message: /"circuitBreaker" must be/,
  })
})

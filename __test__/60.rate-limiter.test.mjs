// Rate limits: the object by itself, and in front of closures and tasks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateLimiter, TaskError, TaskExecutor } from '../index.js'
import { open } from './support/executors.mjs'

const started = (executor, work, count, options) =>
  Promise.all(Array.from({ length: count }, () => executor.execute(work, options)))

test('a burst passes at once, the rest at the rate and in order', async t => {
  const limiter = new RateLimiter({ limit: 50, per: '1s', burst: 5 })
  const executor = open(t, { concurrency: 100, rateLimit: limiter })
  const since = performance.now()
  const starts = []
  await Promise.all(
    Array.from({ length: 10 }, (_, at) =>
      executor.execute(() => starts.push([at, performance.now() - since])),
    ),
  )
  assert.deepEqual(
    starts.map(([at]) => at),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  )
  // Whole milliseconds on the engine's clock: one less on this one.
  for (const [at, time] of starts.slice(5)) assert.ok(time >= (at - 4) * 20 - 2, `${at} at ${time} ms`)
})

test('a limited kind delays no other', async t => {
  const executor = open(t, { concurrency: 4 })
  const slow = { name: 'slow', rateLimit: { limit: 1, per: '1h' }, handler: () => 'slow' }
  const handles = await executor.enqueueMany(slow, Array(1000).fill(undefined), { priority: 5 })
  assert.equal(await handles[0].result(), 'slow')
  const quick = { name: 'quick', handler: input => input }
  const others = await executor.enqueueMany(quick, [1, 2, 3])
  assert.deepEqual(await Promise.all(others.map(handle => handle.result())), [1, 2, 3])
  const info = await handles[500].status()
  assert.equal(info.waitingFor.reason, 'rate')
  const soon = info.waitingFor.until - Date.now()
  assert.ok(soon > 3_500_000 && soon <= 3_600_100, `${soon}`)
})

test('a limit of a queue holds for its tasks', async t => {
  const queues = { mail: { rateLimit: { limit: 2, per: '1h' } }, other: {} }
  const executor = open(t, { concurrency: 10, queues })
  let mails = 0
  const mail = { name: 'mail', queue: 'mail', handler: () => (mails += 1) }
  const other = { name: 'other', queue: 'other', handler: () => 'other' }
  await executor.enqueueMany(mail, [1, 2, 3, 4])
  assert.equal(await (await executor.enqueue(other)).result(), 'other')
  while (mails < 2) await new Promise(setImmediate)
  const { waiting, completed } = await executor.counts('mail')
  assert.equal(waiting + completed, 4)
  assert.equal(mails, 2)
})

test('a rate by group counts each group for itself', async t => {
  const executor = open(t, { concurrency: 10 })
  const runs = []
  const task = {
    name: 'call',
    rateLimit: new RateLimiter({ limit: 1, per: '1h', by: 'group' }),
    handler: group => runs.push(group),
  }
  await executor.enqueueMany(task, ['a', 'a', 'a'], { group: 'a' })
  const handle = await executor.enqueue(task, 'b', { group: 'b' })
  await handle.result()
  assert.deepEqual(runs.sort(), ['a', 'b'])
})

test('what cannot start at once is refused where the limit says so', async t => {
  const limiter = new RateLimiter({ limit: 1, per: '1m', onExcess: 'reject', name: 'api' })
  const executor = TaskExecutor.withRateLimiter(limiter)
  t.after(() => executor.close({ gracePeriod: 0 }))
  assert.equal(await executor.execute(() => 'one'), 'one')
  const refusal = await executor.execute(() => 'two').catch(error => error)
  assert.ok(refusal instanceof TaskError)
  assert.equal(refusal.code, 'ERR_RATE_LIMITED')
  assert.ok(refusal.retryAfter > 59_000 && refusal.retryAfter <= 60_000)
  assert.match(refusal.message, /^the rate limit "api" lets nothing more start/)
  const guarded = await executor.execute(() => 'three', { timeout: 1_000 }).catch(error => error)
  assert.equal(guarded.code, 'ERR_RATE_LIMITED')
  const acquired = await limiter.acquire().catch(error => error)
  assert.equal(acquired.code, 'ERR_RATE_LIMITED')
  assert.ok(acquired.retryAfter > 59_000)
})

test('pause holds everything, and update lets it go', async t => {
  const limiter = RateLimiter.perSecond(1_000)
  const executor = open(t, { rateLimit: limiter })
  limiter.pause(100)
  const since = performance.now()
  await executor.execute(() => {})
  assert.ok(performance.now() - since >= 98)
  const slow = new RateLimiter({ limit: 1, per: '1h' })
  const other = open(t, { rateLimit: slow })
  const runs = started(other, () => 'ran', 3)
  await new Promise(resolve => setTimeout(resolve, 10))
  slow.update({ limit: 1_000, per: '1s' })
  assert.deepEqual(await runs, ['ran', 'ran', 'ran'])
  assert.deepEqual([slow.limit, slow.per, slow.burst], [1_000, 1_000, 1_000])
})

test('one limiter is one limit for two executors and any other code', async t => {
  const limiter = new RateLimiter({ limit: 3, per: '1h' })
  const one = open(t, { rateLimit: limiter })
  const other = open(t, { rateLimit: limiter })
  await Promise.all([one.execute(() => {}), other.execute(() => {})])
  assert.equal(limiter.tryAcquire(), true)
  assert.equal(limiter.tryAcquire(), false)
})

test('acquire is first come, first served, for each key, and can be given up', async () => {
  const limiter = new RateLimiter({ limit: 20, per: '1s', burst: 1, by: 'group' })
  const order = []
  const wait = (name, options) => limiter.acquire(options).then(() => order.push(name))
  const { signal, abort } = withAbort()
  const given = limiter.acquire({ key: 'a' }).then(() => order.push('first'))
  const second = wait('second', { key: 'a' })
  const left = limiter.acquire({ key: 'a', signal })
  const fourth = wait('fourth', { key: 'a' })
  assert.equal(limiter.tryAcquire('a'), false, 'others are before it')
  assert.equal(limiter.tryAcquire('b'), true)
  abort(new Error('no more'))
  await assert.rejects(left, /no more/)
  await Promise.all([given, second, fourth])
  assert.deepEqual(order, ['first', 'second', 'fourth'])
  await assert.rejects(limiter.acquire({ signal }), /no more/)
})

test('a handler that says when to come back holds the rate that heeds it', async t => {
  for (const [heedRetryAfter, held] of [
    [true, true],
    [false, false],
  ]) {
    const limiter = new RateLimiter({ limit: 1_000, per: '1s', heedRetryAfter })
    const executor = open(t, { rateLimit: limiter })
    const refused = () => {
      throw TaskError.retryAfter('1m', '429')
    }
    await assert.rejects(executor.execute(refused), /429/)
    assert.equal(limiter.tryAcquire(), !held)
    const stored = { name: 'stored', handler: refused }
    const other = new RateLimiter({ limit: 1_000, per: '1s', heedRetryAfter })
    const second = open(t, { rateLimit: other })
    await assert.rejects((await second.enqueue(stored)).result(), /429/)
    assert.equal(other.tryAcquire(), !held)
  }
})

test('a waiting closure keeps its place behind the rate when it is withdrawn or closed', async () => {
  const limiter = new RateLimiter({ limit: 1, per: '1h' })
  const executor = new TaskExecutor({ rateLimit: limiter })
  await executor.execute(() => {})
  const { signal, abort } = withAbort()
  const withdrawn = executor.execute(() => {}, { signal })
  const waiting = executor.execute(() => {})
  abort(new Error('gone'))
  await assert.rejects(withdrawn, /gone/)
  const refused = assert.rejects(waiting, { code: 'ERR_EXECUTOR_CLOSED' })
  await executor.close()
  await refused
})

test('wrong options are named', () => {
  const code = { code: 'ERR_OPTION' }
  assert.throws(() => new RateLimiter(), { ...code, message: /"limit" must be a whole number/ })
  assert.throws(() => new RateLimiter({ limit: 5 }), { ...code, message: /"per" must be a duration/ })
  assert.throws(() => new RateLimiter({ limit: 0, per: 1 }), { ...code, message: /"limit"/ })
  assert.throws(() => RateLimiter.perSecond(5, { burts: 1 }), { ...code, message: /did you mean "burst"/ })
  assert.throws(() => new TaskExecutor({ rateLimit: 5 }), {
    ...code,
    message: /"rateLimit" must be a RateLimiter/,
  })
  assert.throws(() => new TaskExecutor({ rateLimit: { limit: 1, burts: 1 } }), {
    ...code,
    message: /"rateLimit.burts" is not an option of TaskExecutor\(\); did you mean "rateLimit.burst"/,
  })
  assert.throws(() => RateLimiter.perSecond(5).tryAcquire(''), { ...code, message: /"key"/ })
})

function withAbort() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: reason => controller.abort(reason) }
}

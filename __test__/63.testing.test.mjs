// The subpath ./testing: a clock that tests move. What is to happen in days happens at once, each thing at its time.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CircuitBreaker, RateLimiter, TaskError, TaskExecutor, TaskScheduler } from '../index.js'
import { TestClock } from '../lib/testing.js'

const START = Date.UTC(2030, 0, 1)
const HOUR = 3_600_000

/** A clock at the beginning of 2030, an executor that lives by it, and a diary of when things happened, in hours. */
function start(t, options = {}) {
  const clock = new TestClock({ now: START })
  const tasks = new TaskExecutor({ concurrency: 4, ...options, clock })
  t.after(() => tasks.close({ gracePeriod: 0 }))
  const diary = []
  const note = () => diary.push((clock.now() - START) / HOUR)
  return { clock, tasks, diary, note }
}

test('what is delayed runs at its time and not before', async t => {
  const { clock, tasks, diary, note } = start(t)
  tasks.register({ name: 'note', handler: note })
  for (const delay of ['3d', '1d', '2d']) await tasks.enqueue('note', null, { delay })
  await clock.advance('23h')
  assert.deepEqual(diary, [])
  await clock.advance('1h')
  assert.deepEqual(diary, [24])
  await clock.advance('30d')
  assert.deepEqual(diary, [24, 48, 72])
  assert.equal(clock.now(), START + 31 * 24 * HOUR)
  const handle = await tasks.enqueue('note')
  assert.equal((await tasks.get(handle.id)).createdAt.getTime(), clock.now())
})

test('what was not awaited is done too', async t => {
  const { clock, tasks, diary, note } = start(t)
  tasks.register({ name: 'note', handler: note })
  const handle = tasks.enqueue('note', null, { delay: '2h' })
  await clock.advance('1h')
  const moved = handle.then(handle => handle.reschedule(new Date(START + 6 * HOUR)))
  await clock.advance('10h')
  await moved
  assert.deepEqual(diary, [6])
})

test('retries come at their delays, and the last failure is told', async t => {
  const { clock, tasks, diary, note } = start(t)
  const retry = { attempts: 4, base: '1h', max: '1d', jitter: 'none' }
  const handler = () => {
    note()
    throw new Error('not yet')
  }
  tasks.register({ name: 'flaky', handler, retry })
  const handle = await tasks.enqueue('flaky')
  const outcome = assert.rejects(handle.result(), { code: 'ERR_TASK_FAILED' })
  await clock.runUntilIdle()
  await outcome
  assert.deepEqual(diary, [0, 1, 3, 7])
})

test('closures, their retries and their timeouts live by it', async t => {
  const { clock, tasks, diary, note } = start(t)
  let calls = 0
  const work = async () => {
    note()
    calls += 1
    await clock.sleep(calls === 1 ? '2h' : '30m')
    return calls
  }
  const outcome = tasks.execute(work, {
    timeout: '1h',
    retry: { attempts: 2, base: '1d', max: '1d', jitter: 'none' },
  })
  await clock.advance('26h')
  assert.equal(await outcome, 2)
  assert.equal(diary.length, 2)
  assert.ok(Math.abs(diary[1] - 25) < 0.001, String(diary[1]))
})

test('a handler that hangs does not stop it', async t => {
  const { clock, tasks } = start(t)
  tasks.register({ name: 'hangs', handler: () => new Promise(() => {}), timeout: '2d' })
  const handle = await tasks.enqueue('hangs')
  const outcome = assert.rejects(handle.result(), { code: 'ERR_TASK_TIMEOUT' })
  const before = performance.now()
  await clock.advance('3d')
  await outcome
  assert.ok(performance.now() - before < 2 * 24 * HOUR)
})

test('a handler that waits for a file is given its time', async t => {
  const clock = new TestClock({ patience: '10s' })
  const tasks = new TaskExecutor({ clock })
  t.after(() => tasks.close())
  const handler = async () => {
    await sleep(20)
    return (await readFile(new URL(import.meta.url), 'utf8')).length
  }
  tasks.register({ name: 'read', handler, timeout: '1s' })
  const handle = await tasks.enqueue('read')
  await clock.advance('1d')
  assert.ok((await handle.result()) > 1000)
})

test('chains of handlers that enqueue go on at the same moment', async t => {
  const { clock, tasks, diary, note } = start(t)
  const handler = async n => {
    note()
    if (n > 0) await tasks.enqueue('chain', n - 1, n % 10 === 0 ? { delay: '1h' } : undefined)
  }
  tasks.register({ name: 'chain', handler })
  await tasks.enqueue('chain', 30)
  await clock.runUntilIdle()
  assert.deepEqual(
    diary,
    Array.from({ length: 31 }, (_, at) => (at === 0 ? 0 : 1 + Math.floor((at - 1) / 10))),
  )
})

test('schedules fire at each of their slots', async t => {
  const { clock, tasks } = start(t)
  const slots = []
  const handler = (_, { schedule: { slot, late } }) => slots.push([slot.toISOString(), late])
  tasks.register({ name: 'report', handler, schedule: '0 6 * * *' })
  await tasks.start()
  await clock.advance('3d')
  const days = ['2030-01-01', '2030-01-02', '2030-01-03']
  assert.deepEqual(
    slots,
    days.map(day => [`${day}T06:00:00.000Z`, 0]),
  )
  await clock.runUntilIdle()
  assert.equal(slots.length, 3, 'a schedule is no task that waits')
  const scheduler = new TaskScheduler(tasks)
  const [{ nextRun }] = await scheduler.list()
  assert.equal(nextRun.toISOString(), '2030-01-04T06:00:00.000Z')
})

test('rates and breakers live by it, for other code too', async t => {
  const rateLimit = new RateLimiter({ limit: 1, per: '1h' })
  const circuitBreaker = new CircuitBreaker({ minCalls: 1, window: 1, openFor: '1d' })
  const { clock, tasks, diary, note } = start(t, { rateLimit })
  tasks.register({ name: 'note', handler: note })
  await tasks.enqueueMany('note', [1, 2, 3, 4])
  await clock.runUntilIdle()
  assert.deepEqual(diary, [0, 1, 2, 3])
  const turn = rateLimit.acquire()
  await clock.advance('59m')
  assert.equal(rateLimit.tryAcquire(), false)
  await clock.advance('1m')
  await turn

  const other = new TaskExecutor({ clock, circuitBreaker })
  t.after(() => other.close())
  await assert.rejects(other.execute(() => Promise.reject(new Error('down'))))
  assert.equal(circuitBreaker.state, 'open')
  await clock.advance('23h')
  assert.equal(circuitBreaker.state, 'open')
  await clock.advance('1h')
  assert.equal(await circuitBreaker.execute(() => 'up'), 'up')
  assert.equal(circuitBreaker.state, 'closed')
})

test('debounce, expiry and retention live by it', async t => {
  const { clock, tasks, diary, note } = start(t, { retention: { completed: { age: '1d' } } })
  tasks.register({ name: 'save', handler: note })
  for (let i = 0; i < 3; i += 1) {
    await tasks.enqueue('save', i, { key: 'draft', debounce: '2h' })
    await clock.advance('1h')
  }
  await clock.runUntilIdle()
  assert.deepEqual(diary, [4])
  await tasks.pause()
  const handle = await tasks.enqueue('save', 9, { expiresAt: new Date(clock.now() + HOUR) })
  const outcome = assert.rejects(handle.result(), { code: 'ERR_TASK_EXPIRED' })
  await clock.advance('2h')
  await tasks.resume()
  await clock.settle()
  await outcome
  assert.equal((await tasks.counts()).completed, 1)
  await clock.advance('3d')
  assert.equal((await tasks.counts()).completed, 0)
})

test('timers that a test has replaced do not stop it', async t => {
  const { clock, tasks, diary, note } = start(t)
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] })
  tasks.register({ name: 'note', handler: note, retry: { attempts: 2, base: '1h' } })
  await tasks.enqueueMany('note', new Array(5_000).fill(null))
  await tasks.enqueue('note', null, { delay: '2h' })
  await clock.advance('3h')
  assert.deepEqual([diary.length, diary.at(-1)], [5_001, 2])
})

test('what will never run is told, with what holds it', async t => {
  const { clock, tasks, note } = start(t)
  await clock.runUntilIdle()
  tasks.register({ name: 'note', handler: note })
  await tasks.pause('default')
  const { id } = await tasks.enqueue('note')
  const message = `1 tasks are left and nothing will happen by itself; "note" (${id}) is waiting, is held by pause`
  await assert.rejects(clock.runUntilIdle(), error => {
    assert.ok(error instanceof TaskError && error.code === 'ERR_STUCK')
    assert.equal(error.message, message)
    return true
  })
  await tasks.resume('default')
  await tasks.enqueue('note', null, { delay: '2d' })
  await assert.rejects(clock.runUntilIdle({ within: '1d' }), {
    code: 'ERR_STUCK',
    message: /after 86400000 ms/,
  })
  await clock.runUntilIdle()
})

test('several executors live by one clock, and one that is closed is not asked', async t => {
  const { clock, tasks, diary, note } = start(t)
  const other = new TaskExecutor({ clock })
  tasks.register({ name: 'note', handler: note })
  other.register({
    name: 'pass',
    handler: () => tasks.enqueue('note', null, { delay: '1h' }).then(() => null),
  })
  await other.enqueue('pass', null, { delay: '1h' })
  await clock.runUntilIdle()
  assert.deepEqual(diary, [2])
  await other.enqueue('nobody')
  await other.close()
  await clock.runUntilIdle()
})

test('closing takes its time by itself', async t => {
  const { clock, tasks } = start(t)
  tasks.register({ name: 'hangs', handler: () => new Promise(() => {}) })
  const handle = await tasks.enqueue('hangs')
  const outcome = assert.rejects(handle.result(), { code: 'ERR_EXECUTOR_CLOSED' })
  await clock.settle()
  await tasks.close({ gracePeriod: 200 })
  await outcome
})

test('it is for memory, and its arguments are checked', async t => {
  const { clock } = start(t)
  for (const persistence of ['sqlite:never-made.db', 'redis://127.0.0.1:1']) {
    assert.throws(() => new TaskExecutor({ clock, persistence }), {
      code: 'ERR_OPTION',
      message: /^"clock" is for executors in memory/,
    })
  }
  for (const wrong of [{}, 5, null, new Date()]) {
    assert.throws(() => new TaskExecutor({ clock: wrong }), {
      code: 'ERR_OPTION',
      message: /"clock" must be a TestClock/,
    })
  }
  for (const now of ['soon', -1, NaN, new Date(NaN), 1.5]) {
    assert.throws(() => new TestClock({ now }), { code: 'ERR_OPTION', message: /"now" must be a Date/ })
  }
  assert.throws(() => new TestClock({ today: 1 }), { code: 'ERR_OPTION' })
  await assert.rejects(clock.advance('3 days'), { code: 'ERR_OPTION' })
  await assert.rejects(clock.runUntilIdle({ within: 0 }), { code: 'ERR_OPTION' })
  assert.throws(() => clock.sleep(-1), { code: 'ERR_OPTION' })
  assert.equal(new TestClock({ now: '2030-01-01' }).now(), START)
  assert.ok(Math.abs(new TestClock().now() - Date.now()) < HOUR)
})

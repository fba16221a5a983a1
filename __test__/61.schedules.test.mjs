// Schedules of one process: made, fired, paused, triggered, listed; in memory and in a file.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, TaskExecutor, TaskScheduler } from '../index.js'
import { blockLoop, collect, deferred, failure, open, until } from './support/executors.mjs'
import { fileFor, openOn } from './support/sqlite.mjs'

const HOURLY = '0 * * * *'

test('a schedule fires, and tells its runs which slot they are', async t => {
  const scheduler = new TaskScheduler(open(t))
  const seen = []
  const tick = defineTask({ name: 'tick', handler: async (input, ctx) => void seen.push([input, ctx]) })
  const info = await scheduler.schedule(tick, { every: 40, limit: 3, key: 'often' }, { n: 1 })
  assert.deepEqual(
    [info.key, info.name, info.every, info.catchUp, info.overlap, info.paused, info.lastRun],
    ['often', 'tick', 40, 'latest', 'skip', false, null],
  )
  await until(() => seen.length === 3)
  for (const [at, [input, ctx]] of seen.entries()) {
    const { key, slot, late, skipped } = ctx.schedule
    assert.deepEqual([input, key], [{ n: 1 }, 'often'])
    assert.equal((slot.getTime() - info.nextRun.getTime()) % 40, 0)
    assert.ok(late >= 0 && skipped >= 0)
    assert.equal(ctx.id, `schedule:often:${slot.getTime()}`)
    if (at > 0) assert.ok(slot > seen[at - 1][1].schedule.slot)
  }
  const [after] = await scheduler.list()
  assert.equal(after.nextRun, null, 'its limit is reached')
  assert.ok(after.lastRun instanceof Date)
})

test('a run that nobody has scheduled knows of no slot', async t => {
  const executor = open(t)
  const kind = defineTask({ name: 'kind', handler: async (_, ctx) => ctx.schedule ?? null })
  assert.equal(await (await executor.enqueue(kind)).result(), null)
  const metadata = { schedule: 'mine', slot: 'soon' }
  assert.equal(await (await executor.enqueue(kind, undefined, { metadata })).result(), null)
  assert.equal(await executor.execute(kind), null)
})

test('start() schedules what definitions say, once', async t => {
  const file = fileFor(t)
  const nightly = defineTask({
    name: 'nightly',
    schedule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin', overlap: 'queue' },
    handler: async () => {},
  })
  const hourly = defineTask({ name: 'hourly', schedule: HOURLY, handler: async () => {} })
  const first = openOn(t, file, { tasks: [nightly, hourly] })
  await first.start()
  await first.start()
  const scheduler = new TaskScheduler(first)
  const listed = await scheduler.list()
  assert.deepEqual(
    listed.map(({ key, cron, timeZone, overlap }) => [key, cron, timeZone, overlap]),
    [
      ['hourly', HOURLY, 'UTC', 'skip'],
      ['nightly', '0 3 * * *', 'Europe/Berlin', 'queue'],
    ],
  )
  assert.deepEqual(listed[0].nextRun, TaskScheduler.next(HOURLY))
  await scheduler.pause('hourly')
  await first.close()
  const second = openOn(t, file, { tasks: [nightly, hourly] })
  await second.start()
  const [again] = await new TaskScheduler(second).list()
  assert.deepEqual([again.paused, again.nextRun], [true, null], 'a start does not undo a pause')
})

test('an expression that is wrong is refused where it is written', () => {
  const bad = () => defineTask({ name: 'bad', schedule: '61 * * * *' })
  assert.throws(bad, failure('ERR_SCHEDULE'))
  assert.throws(() => defineTask({ name: 'bad', schedule: { every: 5 } }), {
    code: 'ERR_OPTION',
    message: /"schedule\.every" must be a duration/,
  })
  assert.throws(() => new TaskScheduler({}), failure('ERR_OPTION'))
})

test('refusals of schedule() leave nothing behind', async t => {
  const executor = openOn(t, fileFor(t))
  const scheduler = new TaskScheduler(executor)
  const schema = {
    '~standard': {
      version: 1,
      vendor: 'x',
      validate: v => (v === 1 ? { value: 1 } : { issues: [{ message: 'not 1' }] }),
    },
  }
  const strict = defineTask({ name: 'strict', input: schema })
  await assert.rejects(scheduler.schedule(strict, HOURLY, 2), failure('ERR_TASK_INPUT'))
  await assert.rejects(scheduler.schedule(strict, HOURLY, 1n), failure('ERR_TASK_SERIALIZE'))
  await assert.rejects(scheduler.schedule(strict, undefined, 1), /needs a schedule: "strict" has none/)
  await assert.rejects(scheduler.schedule(strict, { every: 10 }, 1), {
    code: 'ERR_OPTION',
    message: /1000 ms/,
  })
  await assert.rejects(scheduler.schedule({ name: 'n'.repeat(120) }, HOURLY), failure('ERR_OPTION'))
  const over = { cron: HOURLY, endAt: new Date(0) }
  await assert.rejects(scheduler.schedule('over', over), failure('ERR_OPTION'))
  assert.deepEqual(await scheduler.list(), [])
  assert.equal((await scheduler.schedule(strict, HOURLY, 1)).name, 'strict')
})

test('a schedule is changed, paused, resumed and removed by its key', async t => {
  const scheduler = new TaskScheduler(openOn(t, fileFor(t)))
  const first = await scheduler.schedule('kind', { cron: HOURLY, key: 'k' })
  assert.equal((await scheduler.schedule('kind', { cron: '@daily', key: 'k' })).cron, '@daily')
  assert.equal((await scheduler.list()).length, 1)
  await scheduler.schedule('kind', { cron: HOURLY, key: 'k' })
  await scheduler.pause('k')
  assert.deepEqual((await scheduler.list())[0].nextRun, null)
  await scheduler.resume('k')
  assert.deepEqual((await scheduler.list())[0].nextRun, first.nextRun)
  assert.equal(await scheduler.unschedule('k'), true)
  assert.equal(await scheduler.unschedule('k'), false)
  for (const call of ['pause', 'resume', 'trigger']) {
    await assert.rejects(scheduler[call]('k'), { code: 'ERR_SCHEDULE', message: 'there is no schedule "k"' })
    await assert.rejects(scheduler[call](''), failure('ERR_OPTION'))
  }
})

test('a trigger runs beside the slots, and obeys overlap', async t => {
  const gate = deferred()
  const slow = defineTask({
    name: 'slow',
    handler: async (n, ctx) => gate.promise.then(() => [n, ctx.schedule.skipped]),
  })
  const scheduler = new TaskScheduler(open(t))
  const before = await scheduler.schedule(slow, HOURLY, 7)
  const first = await scheduler.trigger('slow')
  const second = await scheduler.trigger('slow')
  assert.deepEqual([first.created, second.created, second.id], [true, false, first.id])
  gate.resolve()
  assert.deepEqual(
    [await first.result(), await second.result()],
    [
      [7, 0],
      [7, 0],
    ],
  )
  const third = await scheduler.trigger('slow')
  assert.equal(third.created, true)
  assert.notEqual(third.id, first.id)
  await third.result()
  assert.deepEqual((await scheduler.list())[0].nextRun, before.nextRun, 'no slot was used up')
})

test('overlap: cancel stops the earlier run, and the later one begins when that has ended', async t => {
  const scheduler = new TaskScheduler(open(t))
  const said = []
  const kind = defineTask({
    name: 'kind',
    handler: (_, ctx) =>
      new Promise((resolve, reject) => {
        said.push('began')
        if (said.length > 1) return resolve()
        ctx.signal.addEventListener('abort', () => {
          said.push('aborted')
          reject(ctx.signal.reason)
        })
      }),
  })
  await scheduler.schedule(kind, { cron: HOURLY, overlap: 'cancel' })
  const first = await scheduler.trigger('kind')
  await until(() => said.length === 1)
  const second = await scheduler.trigger('kind')
  await second.result()
  await assert.rejects(first.result(), failure('ERR_TASK_CANCELLED'))
  assert.deepEqual(said, ['began', 'aborted', 'began'])
})

test('overlap: queue lets one wait, whose turn comes though the earlier run fails', async t => {
  const executor = open(t, { concurrency: 4 })
  const scheduler = new TaskScheduler(executor)
  const gate = deferred()
  const kind = defineTask({ name: 'kind', handler: () => gate.promise })
  await scheduler.schedule(kind, { cron: HOURLY, overlap: 'queue' })
  const first = await scheduler.trigger('kind')
  await until(async () => (await first.status()).state === 'running')
  const second = await scheduler.trigger('kind')
  assert.equal(second.created, true)
  assert.equal((await second.status()).state, 'blocked')
  const third = await scheduler.trigger('kind')
  assert.deepEqual([third.created, third.id], [false, second.id])
  gate.reject(new Error('no'))
  await assert.rejects(first.result(), failure('ERR_TASK_FAILED'))
  await assert.rejects(second.result(), failure('ERR_TASK_FAILED'))
})

test('slots are stored on time while a handler blocks the event loop', async t => {
  const executor = open(t, { retention: { completed: {} } })
  const scheduler = new TaskScheduler(executor)
  const tick = defineTask({ name: 'tick', handler: async () => {} })
  const SCHEDULES = 1_000
  await Promise.all(
    Array.from({ length: SCHEDULES }, (_, n) =>
      // The run before has not ended while the loop is blocked.
      scheduler.schedule(tick, { cron: '* * * * * *', key: `s${n}`, overlap: 'allow' }),
    ),
  )
  // Two seconds begin within this time, whenever it starts.
  blockLoop(2_500)
  const unblocked = Date.now()
  const slot = Math.floor((unblocked - 1_000) / 1_000) * 1_000
  const first = await until(() => executor.get(`schedule:s0:${slot}`))
  const last = await until(() => executor.get(`schedule:s${SCHEDULES - 1}:${slot}`))
  for (const task of [first, last])
    assert.ok(task.createdAt.getTime() < unblocked, 'made while the loop was blocked')
})

test('close() of a scheduler ends the executor that it has made', async () => {
  const scheduler = new TaskScheduler()
  let runs = 0
  await scheduler.schedule({ name: 'tick', handler: async () => void runs++ }, { every: 10 })
  await until(() => runs > 1)
  await scheduler.close()
  const after = runs
  await assert.rejects(scheduler.list(), failure('ERR_EXECUTOR_CLOSED'))
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.equal(runs, after)
})

test('tasks of a schedule are tasks like any other', async t => {
  const executor = open(t)
  const scheduler = new TaskScheduler(executor)
  const kind = defineTask({ name: 'kind', queue: 'q', priority: 3, retry: { attempts: 2, base: 1 } })
  await scheduler.schedule(kind, HOURLY)
  const handle = await scheduler.trigger('kind')
  const info = await handle.status()
  assert.deepEqual([info.queue, info.priority, info.maxAttempts, info.metadata.schedule], ['q', 3, 2, 'kind'])
  assert.equal((await collect(executor.list({ name: 'kind' }))).length, 1)
  await handle.cancel()
  const elsewhere = new TaskExecutor()
  await elsewhere.close()
  await assert.rejects(new TaskScheduler(elsewhere).schedule(kind, HOURLY), failure('ERR_EXECUTOR_CLOSED'))
})

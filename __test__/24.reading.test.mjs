// Looking at the queue, and changing many tasks at once: `get`, `list`, `counts`, `retryAll`, `cancelAll`, `prune`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { collect, deferred, failure, never, open, until, within } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const fails = defineTask({
  name: 'fails',
  handler: input => {
    throw new Error(`no ${input}`)
  },
})
const numbers = count => Array.from({ length: count }, (_, at) => at)
const none = { scheduled: 0, waiting: 0, blocked: 0, running: 0, completed: 0, failed: 0, cancelled: 0 }

async function start(on, options = undefined) {
  const executor = on(options)
  await executor.start()
  return executor
}

/** An executor with a task in every state; `end` lets the running one end. */
async function oneOfEach(on) {
  const executor = await start(on, { concurrency: 1, tasks: [echo, fails] })
  const { promise, resolve } = deferred()
  const slow = defineTask({ name: 'slow', handler: () => promise })
  const completed = await executor.enqueue(echo, 'completed')
  const failed = await executor.enqueue(fails, 'failed')
  const cancelled = await executor.enqueue(echo, 'cancelled', { delay: '1h' })
  await cancelled.cancel('for the test')
  await Promise.allSettled([completed.result(), failed.result()])
  const running = await executor.enqueue(slow, 'running')
  await until(async () => (await running.status()).state === 'running')
  await executor.pause('paused')
  const waiting = await executor.enqueue(echo, 'waiting', { queue: 'paused' })
  const scheduled = await executor.enqueue(echo, 'scheduled', { delay: '1h' })
  const blocked = await executor.enqueue(echo, 'blocked', { after: [scheduled] })
  return {
    executor,
    end: resolve,
    handles: { completed, failed, cancelled, running, waiting, scheduled, blocked },
  }
}

onEveryStore('every state is shown as what it is', async (_t, on) => {
  const { executor, handles, end } = await oneOfEach(on)
  for (const [state, handle] of Object.entries(handles)) {
    const info = await handle.status()
    assert.equal(info.state, state)
    assert.equal(info.input, state)
    assert.equal(info.queue, state === 'waiting' ? 'paused' : 'default')
    assert.deepEqual([info.priority, info.attempt, info.maxAttempts, info.metadata], [0, 1, 1, {}])
    assert.equal(info.id, handle.id)
    assert.deepEqual(await executor.get(handle.id), info)
    assert.equal(info.output, state === 'completed' ? state : undefined)
    assert.equal(info.startedAt instanceof Date, ['completed', 'failed', 'running'].includes(state))
    assert.equal(info.finishedAt instanceof Date, ['completed', 'failed', 'cancelled'].includes(state))
    assert.ok(info.createdAt instanceof Date && info.runAt instanceof Date)
    assert.deepEqual(await collect(executor.list({ state })), [info])
  }
  const reasons = ['waiting', 'scheduled', 'blocked'].map(
    async state => (await handles[state].status()).waitingFor.reason,
  )
  assert.deepEqual(await Promise.all(reasons), ['pause', 'time', 'blocker'])
  assert.deepEqual(await executor.counts(), Object.fromEntries(Object.keys(none).map(state => [state, 1])))
  end()
})

test('get: undefined for what there is not', async t => {
  const executor = open(t)
  assert.equal(await executor.get('nobody'), undefined)
  await assert.rejects(executor.get(''), failure('ERR_OPTION'))
  await assert.rejects(executor.get(5), failure('ERR_OPTION'))
})

test('what is read is a copy', async t => {
  const executor = open(t)
  const handle = await executor.enqueue(echo, { a: 1 }, { delay: '1h' })
  const info = await handle.status()
  info.input.a = 2
  assert.deepEqual((await handle.status()).input, { a: 1 })
})

test('counts: by queue, and zero for one that nobody has used', async t => {
  const executor = open(t)
  await executor.pause()
  await executor.enqueueMany(echo, numbers(3), { queue: 'mail' })
  await executor.enqueueMany(echo, numbers(2))
  assert.deepEqual(await executor.counts('mail'), { ...none, waiting: 3 })
  assert.deepEqual(await executor.counts('default'), { ...none, waiting: 2 })
  assert.deepEqual(await executor.counts(), { ...none, waiting: 5 })
  assert.deepEqual(await executor.counts('nobody'), none)
  for (const name of ['__proto__', 'constructor']) assert.deepEqual(await executor.counts(name), none)
})

test('list: newest first, page by page', async t => {
  const executor = open(t)
  await executor.pause()
  await executor.enqueueMany(echo, numbers(350))
  const inputs = async filter => (await collect(executor.list(filter))).map(info => info.input)
  assert.deepEqual(await inputs(), numbers(350).toReversed())
  assert.deepEqual(await inputs({ limit: 120 }), numbers(350).toReversed().slice(0, 120))
  assert.deepEqual(await inputs({ limit: 1 }), [349])
  const [newest] = await collect(executor.list({ limit: 1 }))
  const rest = await inputs({ cursor: newest.id, limit: 2 })
  assert.deepEqual(rest, [348, 347])
  await assert.rejects(collect(executor.list({ cursor: 'nobody' })), failure('ERR_TASK_NOT_FOUND'))
})

test('list: tasks that come or go meanwhile are neither doubled nor in the way', async t => {
  const executor = open(t)
  await executor.pause()
  await executor.enqueueMany(echo, numbers(250))
  const seen = []
  for await (const info of executor.list()) {
    seen.push(info.input)
    if (seen.length === 50) await executor.enqueueMany(echo, ['new', 'newer'])
    if (seen.length === 60) assert.equal(await executor.cancelAll({ state: 'waiting' }), 252)
    if (seen.length === 61) await executor.prune({})
  }
  const old = seen.filter(input => typeof input === 'number')
  assert.equal(new Set(old).size, old.length)
  assert.deepEqual(old.slice(0, 100), numbers(250).toReversed().slice(0, 100))
})

test('a loop over list can be left', async t => {
  const executor = open(t)
  await executor.pause()
  await executor.enqueueMany(echo, numbers(300))
  let count = 0
  for await (const _ of executor.list()) if (++count === 3) break
  assert.equal(count, 3)
})

onEveryStore('list: filters, one by one and together', async (_t, on) => {
  const executor = await start(on)
  await executor.pause()
  await executor.enqueue(echo, 'one', { queue: 'mail', group: 'g' })
  await sleep(5)
  const between = new Date()
  await sleep(5)
  await executor.enqueue(fails, 'two', { queue: 'mail' })
  await executor.enqueue(echo, 'three', { delay: '1h', group: 'g' })
  const inputs = async filter => (await collect(executor.list(filter))).map(info => info.input)
  const table = [
    [{}, ['three', 'two', 'one']],
    [{ queue: 'mail' }, ['two', 'one']],
    [{ name: 'fails' }, ['two']],
    [{ group: 'g' }, ['three', 'one']],
    [{ state: 'scheduled' }, ['three']],
    [{ state: ['scheduled', 'waiting'] }, ['three', 'two', 'one']],
    [{ state: ['running', 'failed'] }, []],
    [{ createdBefore: between }, ['one']],
    [{ createdAfter: between }, ['three', 'two']],
    [{ queue: 'mail', name: 'echo', group: 'g', state: 'waiting', createdBefore: between }, ['one']],
    [{ queue: 'mail', createdAfter: between, name: 'echo' }, []],
    [{ queue: 'nobody' }, []],
    [{ name: '__proto__' }, []],
  ]
  for (const [filter, wanted] of table) assert.deepEqual(await inputs(filter), wanted)
})

onEveryStore('search: in the name, the input and the errors', async (_t, on) => {
  const executor = await start(on)
  const secret = defineTask({ name: 'a secret kind', handler: input => input })
  await executor.enqueue(echo, { deep: ['needle in here'] })
  await executor.enqueue(fails, 'haystack')
  await executor.enqueue(secret, '100% _wild_ "quoted" \u{1f680}')
  await executor.onIdle()
  const found = async search => (await collect(executor.list({ search }))).map(info => info.name)
  assert.deepEqual(await found('needle'), ['echo'])
  assert.deepEqual(await found('no haystack'), ['fails'])
  assert.deepEqual(await found('secret'), ['a secret kind'])
  assert.deepEqual(await found('%'), ['a secret kind'])
  assert.deepEqual(await found('_wild_'), ['a secret kind'])
  assert.deepEqual(await found('\u{1f680}'), ['a secret kind'])
  assert.deepEqual(await found('absent'), [])
  assert.deepEqual(await found('.*'), [])
})

onEveryStore('retryAll runs again what has failed or was cancelled', async (_t, on) => {
  let broken = true
  const flaky = defineTask({
    name: 'flaky',
    handler: n => (broken && n % 2 ? Promise.reject(new Error('odd')) : n),
  })
  const executor = await start(on, { concurrency: 10 })
  const handles = await executor.enqueueMany(flaky, numbers(20))
  const other = await executor.enqueue(fails, 'other')
  await Promise.allSettled([...handles, other].map(handle => handle.result()))
  broken = false
  assert.equal(await executor.retryAll({ name: 'flaky' }), 10)
  assert.deepEqual(await within(Promise.all(handles.map(handle => handle.result()))), numbers(20))
  assert.equal((await other.status()).state, 'failed')
  assert.equal(await executor.retryAll({ name: 'flaky' }), 0)
  assert.equal(await executor.retryAll({ name: 'flaky', state: 'completed' }), 20)
  await executor.onIdle()
})

onEveryStore('cancelAll ends what has not ended, thousands of them', async (_t, on) => {
  const executor = await start(on, { concurrency: 1, cancelGrace: 50 })
  const started = deferred()
  const hang = defineTask({
    name: 'hang',
    handler: () => {
      started.resolve()
      return never()
    },
  })
  const done = await executor.enqueue(echo, 'done')
  await done.result()
  const running = await executor.enqueue(hang)
  await started.promise
  const handles = await executor.enqueueMany(echo, numbers(3_500))
  const delayed = await executor.enqueueMany(echo, numbers(1_500), { delay: '1h' })
  const blocked = await executor.enqueueMany(echo, numbers(1_500), { after: [delayed[0], running] })
  const kept = await executor.enqueue(echo, 'kept', { queue: 'kept' })
  assert.equal(await executor.cancelAll({ queue: 'default' }), 6_501)
  const all = [running, ...handles, ...delayed, ...blocked]
  const ends = await within(Promise.allSettled(all.map(handle => handle.result())))
  assert.ok(ends.every(end => end.status === 'rejected' && end.reason.code === 'ERR_TASK_CANCELLED'))
  assert.equal(await kept.result(), 'kept')
  assert.equal(await done.result(), 'done')
})

onEveryStore('prune removes what has ended, and only that', async (_t, on) => {
  const { executor, handles, end } = await oneOfEach(on)
  assert.equal(await executor.prune({ state: 'failed' }), 1)
  assert.equal(await executor.get(handles.failed.id), undefined)
  assert.equal(await executor.prune({ state: ['running', 'waiting', 'scheduled', 'blocked'] }), 0)
  assert.equal(await executor.prune({}), 2)
  assert.deepEqual(await executor.counts(), { ...none, waiting: 1, scheduled: 1, blocked: 1, running: 1 })
  end()
})

onEveryStore('a change of many needs a filter: undefined does not stand for all', async (_t, on) => {
  const executor = await start(on)
  for (const call of ['cancelAll', 'retryAll', 'prune']) {
    await assert.rejects(executor[call](), failure('ERR_OPTION'))
    for (const wrong of [{ states: 'failed' }, { limit: 1 }, { cursor: 'a' }, null]) {
      await assert.rejects(executor[call](wrong), failure('ERR_OPTION'))
    }
    assert.equal(await executor[call]({}), 0)
  }
})

test('retention: so many of each state are kept, the newest', async t => {
  const executor = open(t, {
    concurrency: 50,
    retention: { completed: { count: 100 }, failed: { count: 0 }, cancelled: { age: 0 } },
  })
  const handles = await executor.enqueueMany(echo, numbers(3_000))
  await executor.enqueueMany(fails, numbers(600))
  await Promise.all(handles.map(handle => handle.result()))
  await executor.onIdle()
  // It is done in steps behind the work, so that a few more may be there at any moment.
  const { completed, failed } = await executor.counts()
  assert.ok(completed < 1_700 && failed < 600, `${completed} and ${failed} are kept`)
  assert.equal(await handles[0].result(), 0)
})

test('waitingFor tells concurrency from a missing handler', async t => {
  const executor = open(t, { concurrency: 1 })
  const hang = defineTask({ name: 'hang', handler: never })
  await executor.enqueue(hang)
  const behind = await executor.enqueue(echo, 1)
  const nobody = await executor.enqueue('nobody', 1)
  await until(async () => (await executor.counts()).running === 1)
  assert.equal((await behind.status()).waitingFor.reason, 'concurrency')
  assert.equal((await nobody.status()).waitingFor.reason, 'no-handler')
})

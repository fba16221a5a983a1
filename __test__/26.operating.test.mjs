// What is changed while it waits, on every store: promote, reschedule, setPriority, cancel, retry, alone and combined
// with what a task waits for.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { collect, deferred, failure, occupy, until, within } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

const numbers = count => Array.from({ length: count }, (_, at) => at)
const inAnHour = () => new Date(Date.now() + 3_600_000)

/** A started executor, and what it has run. */
async function noting(on, options = undefined) {
  const ran = []
  const note = defineTask({
    name: 'note',
    handler: input => {
      ran.push(input)
      if (String(input).startsWith('bad')) throw new Error(input)
      return input
    },
  })
  const executor = on({ tasks: [note], ...options })
  await executor.start()
  return { executor, note, ran }
}

onEveryStore('promote: of what waits for its time, and of nothing else', async (_t, on) => {
  const { executor, note, ran } = await noting(on)
  await executor.pause('paused')
  const gate = await executor.enqueue(note, 'gate', { delay: '1h' })
  const delayed = await executor.enqueue(note, 'delayed', { delay: '1h' })
  const blocked = await executor.enqueue(note, 'blocked', { after: [gate] })
  const both = await executor.enqueue(note, 'both', { after: [gate], delay: '1h' })
  const quiet = await executor.enqueue(note, 'quiet', { key: 'k', debounce: '1h' })
  const paused = await executor.enqueue(note, 'paused', { queue: 'paused', delay: '1h' })
  assert.equal(await blocked.promote(), false, 'it waits for a task only')
  assert.equal(await both.promote(), true)
  assert.equal((await both.status()).state, 'blocked')
  for (const handle of [delayed, quiet]) {
    assert.equal(await handle.promote(), true)
    assert.equal(await within(handle.result()), handle === quiet ? 'quiet' : 'delayed')
    assert.equal(await handle.promote(), false)
  }
  assert.equal(await paused.promote(), true)
  assert.equal((await paused.status()).waitingFor.reason, 'pause')
  assert.deepEqual(ran.toSorted(), ['delayed', 'quiet'])
  await gate.promote()
  assert.deepEqual(await within(Promise.all([blocked.result(), both.result()])), ['blocked', 'both'])
})

onEveryStore('promote ends a backoff, and another debounce makes it wait again', async (_t, on) => {
  const { executor, note } = await noting(on, { retry: { attempts: 2, base: '1h' } })
  const bad = await executor.enqueue(note, 'bad')
  await until(async () => (await bad.status()).state === 'scheduled')
  assert.equal(await bad.promote(), true)
  await assert.rejects(within(bad.result()), /bad/)
  assert.equal((await bad.status()).attempt, 2)
  await executor.pause()
  const quiet = await executor.enqueue(note, 1, { key: 'k', debounce: '1h' })
  assert.equal(await quiet.promote(), true)
  assert.equal((await quiet.status()).state, 'waiting')
  assert.equal((await executor.enqueue(note, 2, { key: 'k', debounce: '1h' })).id, quiet.id)
  const { state, input } = await quiet.status()
  assert.deepEqual([state, input], ['scheduled', 2])
})

onEveryStore(
  'reschedule: both ways, also of what waits for others, not of what runs or has ended',
  async (_t, on) => {
    const { executor, note, ran } = await noting(on, { concurrency: 1 })
    const hold = deferred()
    const gate = await executor.enqueue(defineTask({ name: 'hold', handler: () => hold.promise }))
    await until(async () => (await gate.status()).state === 'running')
    assert.equal(await gate.reschedule(inAnHour()), false, 'it runs')
    const blocked = await executor.enqueue(note, 'blocked', { after: [gate] })
    const ready = await executor.enqueue(note, 'ready')
    const late = await executor.enqueue(note, 'late', { delay: '1h' })
    const far = inAnHour()
    assert.equal(await blocked.reschedule(far), true)
    assert.equal(await ready.reschedule(far), true)
    assert.equal(await ready.reschedule(far), false, 'that is its time already')
    const past = new Date(Date.now() - 1_000)
    assert.equal(await late.reschedule(past), true)
    assert.deepEqual((await late.status()).runAt, past)
    hold.resolve()
    assert.equal(await within(late.result()), 'late')
    await until(async () => (await blocked.status()).state === 'scheduled')
    assert.deepEqual([(await ready.status()).state, (await blocked.status()).runAt], ['scheduled', far])
    assert.deepEqual(ran, ['late'])
    assert.equal(await blocked.reschedule(new Date()), true)
    assert.equal(await within(blocked.result()), 'blocked')
    assert.equal(await late.reschedule(far), false, 'it has ended')
    await ready.cancel()
    assert.equal(await ready.reschedule(far), false)
  },
)

onEveryStore('setPriority: of plain, grouped, delayed and blocked tasks', async (_t, on) => {
  const { executor, note, ran } = await noting(on, { concurrency: 1 })
  const slot = await occupy(executor)
  const [a, b, c] = await executor.enqueueMany(note, ['a', 'b', 'c'])
  const grouped = await executor.enqueue(note, 'grouped', { group: 'g' })
  await executor.enqueue(note, 'crowd', { group: 'g', priority: 1 })
  const delayed = await executor.enqueue(note, 'delayed', { delay: 1 })
  const blocked = await executor.enqueue(note, 'blocked', { after: [a] })
  const ranks = new Map([
    [c, 9],
    [grouped, 8],
    [delayed, 7],
    [blocked, 6],
    [b, -5],
  ])
  for (const [handle, priority] of ranks) assert.equal(await handle.setPriority(priority), true)
  assert.equal(await c.setPriority(9), false, 'that is its priority already')
  for (const [handle, priority] of ranks) assert.equal((await handle.status()).priority, priority)
  await until(async () => (await delayed.status()).state === 'waiting')
  await slot.release()
  await within(b.result())
  // What was blocked until then comes in when the slot may have been given to the next one.
  assert.deepEqual(ran.slice(0, 5), ['c', 'grouped', 'delayed', 'crowd', 'a'])
  await blocked.result()
  assert.equal(await b.setPriority(1), false)
})

onEveryStore('a delay beyond 2^31 ms is one, and can be taken back', async (_t, on) => {
  const { executor, note, ran } = await noting(on)
  const month = 31 * 86_400_000
  const delayed = await executor.enqueue(note, 'delay', { delay: month })
  const dated = await executor.enqueue(note, 'date', { runAt: new Date(Date.now() + 100 * 365 * 86_400_000) })
  const moved = await executor.enqueue(note, 'moved')
  await moved.result()
  const again = await executor.enqueue(note, 'again', { delay: '1h' })
  assert.equal(await again.reschedule(new Date(Date.now() + month)), true)
  await sleep(20)
  for (const handle of [delayed, dated, again]) {
    const { state, waitingFor } = await handle.status()
    assert.equal(state, 'scheduled')
    assert.ok(waitingFor.until - Date.now() > 2 ** 31)
  }
  assert.equal(await delayed.promote(), true)
  assert.equal(await within(delayed.result()), 'delay')
  assert.deepEqual(ran, ['moved', 'delay'])
})

onEveryStore('the same id again is the same task, whatever its state', async (_t, on) => {
  const { executor, note, ran } = await noting(on)
  const hold = deferred()
  const slow = defineTask({ name: 'slow', handler: () => hold.promise })
  const gate = await executor.enqueue(slow, 'input', { id: 'running' })
  await until(async () => (await gate.status()).state === 'running')
  const completed = await executor.enqueue(note, 'input', { id: 'completed' })
  await completed.result()
  const failed = await executor.enqueue(note, 'bad input', { id: 'failed' })
  await assert.rejects(failed.result())
  await executor.enqueue(note, 'input', { id: 'scheduled', delay: '1h' })
  await executor.enqueue(note, 'input', { id: 'blocked', after: [gate] })
  await executor.pause('paused')
  await executor.enqueue(note, 'input', { id: 'waiting', queue: 'paused' })
  const cancelled = await executor.enqueue(note, 'input', { id: 'cancelled', delay: '1h' })
  await cancelled.cancel()
  const states = ['running', 'completed', 'failed', 'scheduled', 'blocked', 'waiting', 'cancelled']
  const before = await collect(executor.list())
  assert.equal(before.length, states.length)
  for (const id of states) {
    const input = id === 'failed' ? 'bad input' : 'input'
    assert.equal((await executor.get(id)).state, id)
    const again = await executor.enqueue(note, input, { id, priority: 9, delay: '2h', key: 'k' })
    assert.deepEqual([again.id, again.created], [id, false])
    const [one, other] = await executor.enqueueMany(note, [input, input], { id })
    assert.deepEqual([one.created, other.created, other.id], [false, false, id])
    const flow = await executor.enqueueFlow([{ ref: 'a', task: note, input, options: { id } }])
    assert.deepEqual([flow.handles.a.id, flow.handles.a.created], [id, false])
    const another = [
      executor.enqueue(note, 'another', { id }),
      executor.enqueueMany(note, [input, 'another'], { id }),
      executor.enqueueFlow([
        { ref: 'new', task: note, input: 1 },
        { ref: 'a', task: note, input: 'another', after: ['new'], options: { id } },
      ]),
    ]
    for (const refused of another) await assert.rejects(refused, failure('ERR_TASK_DUPLICATE'))
  }
  assert.deepEqual(await collect(executor.list()), before, 'nothing was added, nothing was changed')
  assert.equal((await executor.enqueue(note, 'free', { key: 'k', delay: '1h' })).created, true)
  assert.deepEqual(ran, ['input', 'bad input'])
  hold.resolve()
  const freed = await executor.enqueue(note, 'input', { id: 'blocked' })
  assert.equal(await within(freed.result()), 'input')
})

onEveryStore('a task whose key another one has taken is not retried, and keeps its end', async (_t, on) => {
  const { executor, note, ran } = await noting(on)
  const key = 'k'
  const bad = await executor.enqueue(note, 'bad', { key })
  await assert.rejects(bad.result())
  const holder = await executor.enqueue(note, 'holder', { key, delay: '1h' })
  assert.equal(await bad.retry(), false)
  assert.equal(await executor.retryAll({}), 0)
  assert.equal((await bad.status()).state, 'failed')
  await holder.cancel()
  assert.equal(await bad.retry(), true)
  await assert.rejects(bad.result())
  assert.deepEqual(ran, ['bad', 'bad'])
})

onEveryStore('whoever is replaced is told so: ready, delayed, blocked or held by a group', async (_t, on) => {
  const { executor, note, ran } = await noting(on)
  await executor.pause('paused')
  const far = await executor.enqueue(note, 'far', { delay: '1h' })
  const ways = {
    ready: { queue: 'paused' },
    delayed: { delay: '1h' },
    blocked: { after: [far] },
    grouped: { group: 'g', queue: 'paused' },
  }
  for (const [key, options] of Object.entries(ways)) {
    const { queue } = options
    const old = await executor.enqueue(note, 'old', { ...options, key })
    const child = await executor.enqueue(note, 'child', { after: [old] })
    const young = await executor.enqueue(note, 'young', { queue, key, delay: '1h', onConflict: 'replace' })
    assert.deepEqual([young.created, young.id === old.id], [true, false])
    await assert.rejects(within(old.result()), { ...failure('ERR_TASK_CANCELLED'), message: /superseded/ })
    await assert.rejects(within(child.result()), failure('ERR_TASK_CANCELLED'))
    const { state, reason } = await old.status()
    assert.deepEqual(
      [state, reason, await old.cancel(), await old.retry()],
      ['cancelled', 'superseded', false, false],
    )
  }
  assert.deepEqual(ran, [])
})

onEveryStore(
  'a run that was replaced may be cancelled, and the next one waits for its end',
  async (_t, on) => {
    const { executor, note, ran } = await noting(on)
    const ends = deferred()
    const began = deferred()
    const slow = defineTask({
      name: 'slow',
      retry: { attempts: 5, base: 0 },
      handler: (_, { signal }) => {
        began.resolve()
        signal.addEventListener('abort', () => ran.push(signal.reason.message))
        return ends.promise
      },
    })
    const old = await executor.enqueue(slow, 1, { key: 'k' })
    await began.promise
    const young = await executor.enqueue(note, 'young', { key: 'k', onConflict: 'replace' })
    assert.equal((await young.status()).state, 'blocked')
    assert.equal(await young.promote(), false)
    assert.equal(await old.cancel('enough'), true)
    await until(() => ran.length > 0)
    assert.match(ran[0], /enough/)
    assert.equal((await young.status()).state, 'blocked', 'it has not ended')
    ends.reject(new Error('whatever'))
    assert.equal(await within(young.result()), 'young')
    assert.equal((await old.status()).reason, 'enough')
  },
)

onEveryStore(
  'what waits for a task that is cancelled hears of it, however busy everybody is',
  async (_t, on) => {
    const { executor, note, ran } = await noting(on, { concurrency: 1 })
    const slot = await occupy(executor)
    const top = await executor.enqueue(note, 'top')
    const fan = await executor.enqueueMany(note, numbers(2_500), { after: [top] })
    await top.cancel('no more')
    const ends = await within(Promise.allSettled(fan.map(handle => handle.result())))
    assert.ok(ends.every(({ reason }) => reason?.code === 'ERR_TASK_CANCELLED'))
    await slot.release()
    assert.deepEqual(ran, [])
  },
)

onEveryStore('another executor on the same store cancels with a reason', async (_t, on, shared) => {
  if (!shared) return
  const { executor } = await noting(on)
  const reasons = []
  const slow = defineTask({
    name: 'slow',
    retry: { attempts: 5, base: 0 },
    handler: (_, { signal }) =>
      new Promise((_, reject) => {
        reasons.push('began')
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason.code, signal.reason.message)
          reject(new Error('whatever'))
        })
      }),
  })
  executor.register(slow)
  const producer = on({ queues: [] })
  const handle = await producer.enqueue('slow')
  await until(() => reasons.length === 1)
  assert.equal(await handle.cancel('too late for us'), true)
  assert.equal(await handle.cancel('once is enough'), false)
  const error = await within(handle.result().catch(error => error))
  assert.equal(error.code, 'ERR_TASK_CANCELLED')
  assert.match(error.message, /too late for us/)
  assert.equal(reasons[1], 'ERR_TASK_CANCELLED')
  assert.match(reasons[2], /too late for us/)
  const { state, reason, attempt } = await executor.get(handle.id)
  assert.deepEqual([state, reason, attempt], ['cancelled', 'too late for us', 1])
})

onEveryStore('what was claimed ahead of its start waits, for lists and for filters too', async (_t, on) => {
  const { executor, note, ran } = await noting(on, { concurrency: 1 })
  const holds = [deferred(), deferred()]
  const hold = defineTask({ name: 'hold', handler: n => holds[n].promise })
  executor.register(hold)
  const states = async state => (await collect(executor.list({ state }))).map(info => info.state)
  for (const n of [0, 1]) {
    // At this pace many are claimed at once.
    await (await executor.enqueueMany(note, numbers(300))).at(-1).result()
    ran.length = 0
    const slot = await occupy(executor)
    const holder = await executor.enqueue(hold, n, { priority: 9 })
    const behind = await executor.enqueueMany(note, numbers(100))
    await slot.release()
    await until(async () => (await holder.status()).state === 'running')
    // A claim that is on its way here runs, as far as anybody knows.
    await until(async () => (await executor.counts()).running === 1)
    assert.equal((await executor.counts()).waiting, 100)
    assert.deepEqual(await states('running'), ['running'])
    assert.deepEqual(await states('waiting'), Array(100).fill('waiting'))
    assert.equal((await states(['running', 'waiting'])).length, 101)
    if (n === 0) {
      assert.equal(await executor.cancelAll({ state: ['waiting', 'scheduled'] }), 100)
      const ends = await within(Promise.allSettled(behind.map(handle => handle.result())))
      assert.ok(ends.every(({ reason }) => reason?.code === 'ERR_TASK_CANCELLED'))
      assert.equal((await holder.status()).state, 'running')
    } else {
      assert.equal(await executor.cancelAll({ state: 'running' }), 1)
    }
    holds[n].resolve(n)
    if (n === 0) assert.equal(await holder.result(), 0)
    else await assert.rejects(holder.result(), failure('ERR_TASK_CANCELLED'))
    await executor.onIdle()
    assert.equal(ran.length, n * 100)
  }
})

onEveryStore('another executor on the same store moves what waits here', async (_t, on, shared) => {
  if (!shared) return
  const { executor, note, ran } = await noting(on, { concurrency: 1 })
  const other = on({ queues: [] })
  const delayed = await executor.enqueue(note, 'promoted', { delay: '1h' })
  const late = await executor.enqueue(note, 'moved', { delay: '1h' })
  const bad = await executor.enqueue(note, 'bad')
  await assert.rejects(bad.result(), /bad/)
  const there = async handle => {
    const { id, input } = await other.get(handle.id)
    return other.enqueue('note', input, { id })
  }
  assert.equal(await (await there(delayed)).promote(), true)
  assert.equal(await within(delayed.result()), 'promoted')
  assert.equal(await (await there(late)).reschedule(new Date(Date.now() + 30)), true)
  assert.equal(await within((await there(late)).result()), 'moved')
  assert.equal(await (await there(bad)).retry(), true)
  await until(() => ran.length === 4)
  const slot = await occupy(executor)
  // Of one that is ready this executor may have claimed it ahead.
  const ranked = await executor.enqueue(note, 'ranked', { delay: '1h' })
  assert.equal(await (await there(ranked)).setPriority(5), true)
  assert.equal((await ranked.status()).priority, 5)
  await ranked.promote()
  const expired = await there(await executor.enqueue(note, 'late', { expiresAt: new Date(Date.now() + 50) }))
  await assert.rejects(within(expired.result()), failure('ERR_TASK_EXPIRED'))
  await slot.release()
  assert.equal(await within(ranked.result()), 'ranked')
  assert.deepEqual(ran.slice(0, 4), ['bad', 'promoted', 'moved', 'bad'])
  await other.pause('default')
  await until(
    async () => (await (await executor.enqueue(note, 'paused')).status()).waitingFor?.reason === 'pause',
  )
  const held = await executor.enqueue(note, 'held')
  await other.resume('default')
  assert.equal(await within(held.result()), 'held')
})

onEveryStore(
  'nobody keeps what others could run: not who is busy, not who pauses',
  async (_t, on, shared) => {
    const { executor, note, ran } = await noting(on, { concurrency: 1 })
    const hold = deferred()
    executor.register(defineTask({ name: 'hold', handler: () => hold.promise }))
    // At this pace many are claimed at once.
    await (await executor.enqueueMany(note, numbers(300))).at(-1).result()
    const slot = await occupy(executor)
    const holder = await executor.enqueue('hold', undefined, { priority: 9 })
    const behind = await executor.enqueueMany(note, numbers(100))
    await slot.release()
    await until(async () => (await holder.status()).state === 'running')
    if (shared) {
      const other = await noting(on)
      await within(Promise.all(behind.map(handle => handle.result())))
      assert.equal(other.ran.length, 100)
      await other.executor.close()
    } else {
      // Whatever was claimed ahead, it can be moved before long.
      for (const handle of behind) await until(() => handle.setPriority(behind.indexOf(handle) + 1))
      hold.resolve()
      await within(executor.onIdle())
      assert.deepEqual(ran.slice(-100), numbers(100).toReversed())
    }
    await executor.enqueueMany(note, numbers(300))
    await executor.pause()
    hold.resolve()
    const late = await executor.enqueue(note, 'late')
    await until(async () => (await executor.counts()).running === 0)
    assert.equal(await late.setPriority(1), true)
    if (shared) {
      await noting(on)
      await within(executor.onIdle())
    } else {
      await executor.resume()
      await within(executor.onIdle())
    }
  },
)

// `after`: tasks that have to end first. The last of them releases the one that waits.

import assert from 'node:assert/strict'
import { defineTask } from '../index.js'
import { deferred, failure, rejection, within } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

async function start(on, options = undefined) {
  const executor = on(options)
  await executor.start()
  return executor
}

const numbers = count => Array.from({ length: count }, (_, at) => at)

/** A kind that notes what it runs, and fails for the inputs named `bad...`. */
function noting(order) {
  return defineTask({
    name: 'note',
    handler: input => {
      order.push(input)
      if (String(input).startsWith('bad')) throw new Error(input)
      return input
    },
  })
}

onEveryStore('it starts when all of them have completed, and not before', async (_t, on) => {
  const order = []
  const gates = numbers(3).map(() => deferred())
  const slow = defineTask({ name: 'slow', handler: n => gates[n].promise.then(() => order.push(n)) })
  const executor = await start(on, { concurrency: 8 })
  const parents = await executor.enqueueMany(slow, [0, 1, 2])
  const child = await executor.enqueue(noting(order), 'child', {
    after: [parents[0], parents[1].id, parents[2]],
  })
  const { state, waitingFor } = await child.status()
  assert.deepEqual([state, waitingFor.reason], ['blocked', 'blocker'])
  const left = new Set(parents.map(({ id }) => id))
  for (const n of [2, 0, 1]) {
    const { state, waitingFor } = await child.status()
    assert.equal(state, 'blocked')
    assert.deepEqual(new Set(waitingFor.tasks), left)
    gates[n].resolve()
    await parents[n].result()
    left.delete(parents[n].id)
  }
  assert.equal(await child.result(), 'child')
  assert.deepEqual(order, [2, 0, 1, 'child'])
})

onEveryStore('after something that has completed already, it starts at once', async (_t, on) => {
  const executor = await start(on)
  const note = noting([])
  const parent = await executor.enqueue(note, 'parent')
  await parent.result()
  const child = await executor.enqueue(note, 'child', { after: [parent, parent, parent.id] })
  assert.equal(await child.result(), 'child')
  assert.equal(await (await executor.enqueue(note, 'free', { after: [] })).result(), 'free')
})

onEveryStore('a diamond, and a long chain', async (_t, on) => {
  const order = []
  const note = noting(order)
  const executor = await start(on, { concurrency: 4 })
  const top = await executor.enqueue(note, 'top')
  const sides = await executor.enqueueMany(note, ['left', 'right'], { after: [top] })
  const bottom = await executor.enqueue(note, 'bottom', { after: sides })
  await bottom.result()
  assert.deepEqual([order[0], order.slice(1, 3).toSorted(), order[3]], ['top', ['left', 'right'], 'bottom'])
  order.length = 0
  await executor.pause()
  let last
  for (const n of numbers(200)) last = await executor.enqueue(note, n, { after: last ? [last] : [] })
  await executor.resume()
  await last.result()
  assert.deepEqual(order, numbers(200))
})

onEveryStore('a fan of 3000 in both directions', async (_t, on) => {
  const order = []
  const note = noting(order)
  const executor = await start(on, { concurrency: 100 })
  await executor.pause()
  const top = await executor.enqueue(note, 'top')
  const fan = await executor.enqueueMany(note, numbers(3_000), { after: [top] })
  const bottom = await executor.enqueue(note, 'bottom', { after: fan })
  assert.equal((await executor.counts()).blocked, 3_001)
  await executor.resume()
  await bottom.result()
  assert.equal(order.length, 3_002)
  assert.deepEqual([order[0], order.at(-1)], ['top', 'bottom'])
})

onEveryStore('a failure cancels what waits for it, and what waits for that', async (_t, on) => {
  const order = []
  const note = noting(order)
  const executor = await start(on)
  await executor.pause()
  const bad = await executor.enqueue(note, 'bad')
  const child = await executor.enqueue(note, 'child', { after: [bad] })
  const other = await executor.enqueue(note, 'other')
  const grandchild = await executor.enqueue(note, 'grandchild', { after: [child, other] })
  await executor.resume()
  for (const handle of [child, grandchild]) {
    const error = await rejection(within(handle.result()))
    assert.equal(error.code, 'ERR_TASK_CANCELLED')
    assert.equal((await handle.status()).state, 'cancelled')
  }
  assert.equal(await other.result(), 'other')
  await executor.onIdle()
  assert.deepEqual(order.toSorted(), ['bad', 'other'])
})

onEveryStore('so does a cancel, through thousands', async (_t, on) => {
  const note = noting([])
  const executor = await start(on)
  const top = await executor.enqueue(note, 'top', { delay: '1h' })
  const fan = await executor.enqueueMany(note, numbers(2_500), { after: [top] })
  const below = await executor.enqueueMany(note, numbers(500), { after: [fan[0], fan[2_499]] })
  await top.cancel()
  await within(Promise.allSettled([...fan, ...below].map(handle => handle.result())))
  assert.deepEqual(
    await executor.counts().then(counts => [counts.cancelled >= 1_000, counts.blocked, counts.waiting]),
    [true, 0, 0],
  )
})

onEveryStore("onBlockerFailure: 'run' runs it all the same", async (_t, on) => {
  const order = []
  const note = noting(order)
  const executor = await start(on)
  await executor.pause()
  const [bad, good] = await executor.enqueueMany(note, ['bad', 'good'])
  const gone = await executor.enqueue(note, 'gone', { delay: '1h' })
  const child = await executor.enqueue(note, 'child', { after: [bad, good, gone], onBlockerFailure: 'run' })
  await executor.resume()
  await assert.rejects(bad.result(), /bad/)
  await good.result()
  assert.equal((await child.status()).state, 'blocked')
  await gone.cancel()
  assert.equal(await child.result(), 'child')
  const given = defineTask({ name: 'given', handler: (_, ctx) => ctx.results() })
  const sums = await executor.enqueue(given, null, { after: [gone, good, bad], onBlockerFailure: 'run' })
  assert.deepEqual(await sums.result(), [null, 'good', null], 'in the order of `after`')
  const late = await executor.enqueue(note, 'late', { after: [bad], onBlockerFailure: 'run' })
  assert.equal(await late.result(), 'late')
})

onEveryStore('after one that has failed already, it is cancelled', async (_t, on) => {
  const note = noting([])
  const executor = await start(on)
  const bad = await executor.enqueue(note, 'bad')
  await assert.rejects(bad.result())
  const child = await executor.enqueue(note, 'child', { after: [bad] })
  await assert.rejects(within(child.result()), failure('ERR_TASK_CANCELLED'))
})

onEveryStore('a retry of the blocker does not release what waits, its end does', async (_t, on) => {
  const executor = await start(on)
  let runs = 0
  const flaky = defineTask({
    name: 'flaky',
    retry: { attempts: 3, base: 5 },
    handler: () => {
      runs += 1
      if (runs < 3) throw new Error('again')
    },
  })
  const parent = await executor.enqueue(flaky)
  const child = await executor.enqueue(defineTask({ name: 'child', handler: () => runs }), 1, {
    after: [parent],
  })
  assert.equal(await child.result(), 3)
})

onEveryStore('a delay and a blocker both have to be over', async (_t, on) => {
  const executor = await start(on)
  const note = noting([])
  const gate = deferred()
  const parent = await executor.enqueue(defineTask({ name: 'parent', handler: () => gate.promise }))
  const runAt = new Date(Date.now() + 60)
  const child = await executor.enqueue(note, 'child', { after: [parent], runAt })
  gate.resolve()
  await child.result()
  assert.ok((await child.status()).startedAt >= runAt)
})

onEveryStore('a blocker that does not exist, and a cycle, are refused', async (_t, on) => {
  const executor = await start(on)
  const note = noting([])
  await assert.rejects(executor.enqueue(note, 1, { after: ['nobody'] }), failure('ERR_TASK_NOT_FOUND'))
  const self = await rejection(executor.enqueue(note, 1, { id: 'self', after: ['self'] }))
  assert.equal(self.code, 'ERR_OPTION')
  assert.match(self.message, /self/)
  assert.deepEqual(await executor.counts().then(({ blocked, waiting }) => [blocked, waiting]), [0, 0])
})

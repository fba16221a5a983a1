// `expiresAt`: a task that has not started by then fails, wherever it waits, and is never started late.

import assert from 'node:assert/strict'
import { defineTask } from '../index.js'
import { blockLoop, deferred, failure, occupy, within } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

const numbers = count => Array.from({ length: count }, (_, at) => at)
const soon = (ms = 60) => new Date(Date.now() + ms)

/** A started executor, and what it has run. */
async function noting(on, options = undefined) {
  const ran = []
  const note = defineTask({ name: 'note', handler: input => [ran.push(input), input][1] })
  const executor = on({ tasks: [note], ...options })
  await executor.start()
  return { executor, note, ran }
}

onEveryStore('not started by then, it fails, although nothing else has moved', async (_t, on) => {
  const { executor, note, ran } = await noting(on, { concurrency: 1 })
  const gate = await occupy(executor)
  const late = await executor.enqueue(note, 1, { expiresAt: soon() })
  const patient = await executor.enqueue(note, 2, { expiresAt: soon(3_600_000) })
  await assert.rejects(within(late.result()), failure('ERR_TASK_EXPIRED'))
  const { state, errors, startedAt } = await late.status()
  assert.deepEqual([state, errors.at(-1).code, startedAt], ['failed', 'ERR_TASK_EXPIRED', undefined])
  await gate.release()
  assert.equal(await patient.result(), 2)
  assert.deepEqual(ran, [2])
})

onEveryStore(
  'what is delayed, blocked or paused expires too, and cancels what waits for it',
  async (_t, on) => {
    const { executor, note, ran } = await noting(on)
    await executor.pause('paused')
    const expiresAt = soon()
    const top = await executor.enqueue(note, 'top', { delay: '1h' })
    const waiting = [
      await executor.enqueue(note, 'delayed', { delay: '1h', expiresAt }),
      await executor.enqueue(note, 'blocked', { after: [top], expiresAt }),
      await executor.enqueue(note, 'paused', { queue: 'paused', expiresAt }),
      await executor.enqueue(note, 'debounced', { key: 'k', debounce: '1h', expiresAt }),
    ]
    const below = await executor.enqueue(note, 'below', { after: waiting })
    const anyway = await executor.enqueue(note, 'anyway', { after: waiting, onBlockerFailure: 'run' })
    for (const handle of waiting) await assert.rejects(within(handle.result()), failure('ERR_TASK_EXPIRED'))
    await assert.rejects(within(below.result()), failure('ERR_TASK_CANCELLED'))
    assert.equal(await anyway.result(), 'anyway')
    assert.equal((await executor.enqueue(note, 'next', { key: 'k', delay: '1h' })).created, true)
    // A task that is run again has no last moment any more.
    assert.equal(await waiting[0].retry(), true)
    assert.equal(await within(waiting[0].result()), 'delayed')
    assert.deepEqual(ran, ['anyway', 'delayed'])
  },
)

onEveryStore('what was handed over to a loop that is blocked does not start late', async (_t, on) => {
  const starts = []
  const block = defineTask({ name: 'block', handler: () => [starts.push(Date.now()), blockLoop(40)] })
  const executor = on({ tasks: [block], concurrency: 8 })
  await executor.start()
  const expiresAt = soon(100)
  const handles = await executor.enqueueMany(block, numbers(8), { expiresAt })
  const ends = await within(Promise.allSettled(handles.map(handle => handle.result())))
  const expired = ends.filter(({ reason }) => reason?.code === 'ERR_TASK_EXPIRED').length
  assert.deepEqual([starts.length, expired > 0], [8 - expired, true])
  // Two clocks count the milliseconds, each by itself.
  for (const at of starts) assert.ok(at <= expiresAt.getTime() + 2, `${at - expiresAt} ms late`)
})

onEveryStore('what was claimed ahead of its start is told in time', async (_t, on) => {
  const { executor, note } = await noting(on, { concurrency: 1 })
  const gate = deferred()
  const hold = defineTask({ name: 'hold', handler: () => gate.promise })
  // At this pace many are claimed at once.
  const quick = await executor.enqueueMany(note, numbers(300))
  await quick.at(-1).result()
  const expiresAt = soon(300)
  const gated = await occupy(executor)
  const holder = await executor.enqueue(hold, undefined, { priority: 9 })
  const behind = await executor.enqueueMany(note, numbers(50), { expiresAt })
  const last = await executor.enqueue(note, 'last')
  await gated.release()
  for (const handle of behind) await assert.rejects(within(handle.result()), failure('ERR_TASK_EXPIRED'))
  assert.equal((await holder.status()).state, 'running')
  gate.resolve()
  assert.equal(await last.result(), 'last')
  await executor.onIdle()
})

// A file of tasks, shared by several processes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure, rejection, until } from './support/executors.mjs'
import { fileFor, openOn, startNode } from './support/sqlite.mjs'

// What takes well under a second where nothing else runs.
const SOON = 5_000

test('a result reaches the process that awaits it from the one that has made it', async t => {
  const file = fileFor(t)
  const here = openOn(t, file, { queues: [] })
  const node = await startNode(t, file)
  await node.call('start')
  assert.equal(await (await here.enqueue('who', 1)).result(), node.pid)
  const many = await here.enqueueMany(
    { name: 'double' },
    Array.from({ length: 3_000 }, (_, i) => i),
  )
  assert.deepEqual(
    await Promise.all(many.map(handle => handle.result())),
    many.map((_, i) => i * 2),
  )
})

test('a result can be awaited that another process has enqueued and this one runs', async t => {
  const file = fileFor(t)
  const node = await startNode(t, file)
  const id = await node.call('enqueue', 'sum', [1, 2])
  const here = openOn(t, file)
  here.register({ name: 'sum', handler: async ([a, b]) => a + b })
  await here.start()
  assert.equal(await node.call('result', id), 3)
})

test('a cancel is heard by the process that runs the task', async t => {
  const file = fileFor(t)
  const here = openOn(t, file, { queues: [] })
  const node = await startNode(t, file)
  await node.call('start')
  const handle = await here.enqueue('hang', 'a')
  await node.event('began')
  const asked = performance.now()
  assert.equal(await handle.cancel('no longer wanted'), true)
  const { code } = await node.event('aborted')
  assert.equal(code, 'ERR_TASK_CANCELLED')
  assert.ok(performance.now() - asked < SOON)
  await assert.rejects(handle.result(), failure('ERR_TASK_CANCELLED'))
})

test('a pause is heard by every process, and so is its end', async t => {
  const file = fileFor(t)
  const here = openOn(t, file, { queues: [] })
  const node = await startNode(t, file)
  await node.call('start')
  assert.equal(await (await here.enqueue('double', 1)).result(), 2)
  await here.pause('default')
  const handle = await here.enqueue('double', 2)
  const bystander = await here.enqueue('double', 3, { queue: 'other' })
  assert.equal(await bystander.result(), 6)
  assert.equal((await handle.status()).state, 'waiting')
  const asked = performance.now()
  await node.call('resume', 'default')
  assert.equal(await handle.result(), 4)
  assert.ok(performance.now() - asked < SOON)
})

test('what a killed process ran is run again by another one, soon', async t => {
  const file = fileFor(t)
  const first = await startNode(t, file)
  await first.call('start')
  const id = await first.call('enqueue', 'hang', 'a')
  await first.event('began')
  const here = openOn(t, file)
  here.register({ name: 'hang', handler: async (_, ctx) => ctx.attempt })
  await here.start()
  const killed = performance.now()
  await first.kill()
  const info = await until(async () => {
    const info = await here.get(id)
    return info.state === 'completed' && info
  })
  assert.ok(performance.now() - killed < SOON)
  assert.equal(info.output, 1, 'a lost run costs no attempt')
})

test('what a process has given back at its end is picked up, with its attempts and its retry policy', async t => {
  const file = fileFor(t)
  const first = await startNode(t, file)
  const id = await first.call('enqueue', 'flaky', null)
  await first.call('start')
  await first.event('began')
  await first.call('close')
  const second = await startNode(t, file)
  await second.call('start')
  assert.equal((await second.event('began')).attempt, 2)
  const here = openOn(t, file, { queues: [] })
  const info = await until(async () => {
    const info = await here.get(id)
    return info.state === 'completed' && info
  })
  assert.deepEqual([info.maxAttempts, info.errors.length, info.output], [3, 1, 2])
})

test('a process that is killed right after an enqueue has lost nothing that was acknowledged', async t => {
  const file = fileFor(t)
  for (let round = 0; round < 3; round += 1) {
    const node = await startNode(t, file)
    const ids = await Promise.all([1, 2, 3].map(n => node.call('enqueue', 'unknown', n)))
    await node.kill()
    const here = openOn(t, file, { queues: [] })
    const states = await Promise.all(ids.map(async id => (await here.get(id))?.state))
    assert.deepEqual(states, ['waiting', 'waiting', 'waiting'])
    await here.close()
  }
})

test('who works on the file is listed, with its process', async t => {
  const file = fileFor(t)
  const here = openOn(t, file, { queues: [] })
  const node = await startNode(t, file)
  await node.call('start')
  const listed = await until(async () => (await here.nodes()).find(({ pid }) => pid === node.pid))
  assert.ok(listed.host.length > 0 && listed.lastBeat instanceof Date)
  assert.equal(listed.running, 0)
  await here.enqueue('hang', 'a')
  await until(async () => (await here.nodes()).some(({ pid, running }) => pid === node.pid && running === 1))
})

test('a task that nobody knows any more is not found', async t => {
  const file = fileFor(t)
  const here = openOn(t, file, { queues: [] })
  const handle = await here.enqueue('a', 1)
  const other = await startNode(t, file)
  const awaited = rejection(handle.result())
  const sweeper = openOn(t, file, { queues: [] })
  await sweeper.cancelAll({ name: 'a' })
  assert.equal((await awaited).code, 'ERR_TASK_CANCELLED')
  assert.equal(await sweeper.prune({ name: 'a' }), 1)
  assert.equal(await here.get(handle.id), undefined)
  assert.equal((await other.call('counts')).cancelled, 0)
})

test('what a process that is killed has run counts as lost with the one that survives', async t => {
  const file = fileFor(t)
  const here = openOn(t, file, { metrics: true, queues: ['default'], concurrency: 8 })
  const node = await startNode(t, file, { concurrency: 4 })
  await node.call('start')
  const handles = await here.enqueueMany({ name: 'hang' }, [1, 2, 3, 4])
  await until(() => node.events.filter(({ event }) => event === 'began').length === 4)
  await node.kill()
  here.register({ name: 'hang', handler: async input => input })
  await here.start()
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), [1, 2, 3, 4])
  const { totals, perTask } = await here.getMetrics()
  assert.deepEqual([totals.enqueued, totals.lost, totals.completed, totals.failed], [4, 4, 4, 0])
  assert.equal(perTask.hang.lost, 4)
})

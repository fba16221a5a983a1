// `enqueueMany`: tasks that are put in the queue in one step, each by its own options where these are a function. All of
// them are there or none, whatever is wrong with one and whenever the process that asks for them dies.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { defineTask } from '../index.js'
import { collect, failure, open, rejection, until, within } from './support/executors.mjs'
import { onEveryStore, STORES } from './support/stores.mjs'

const PRODUCER = fileURLToPath(new URL('./fixtures/batch-producer.mjs', import.meta.url))
const numbers = count => Array.from({ length: count }, (_, at) => at)
const idsOf = handles => handles.map(handle => handle.id)

onEveryStore('a function gives each task its own options', async (_t, on) => {
  const order = []
  const note = defineTask({
    name: 'note',
    handler(input, ctx) {
      order.push(input)
      return [input, ctx.metadata]
    },
  })
  const executor = on({ tasks: [note], concurrency: 1 })
  await executor.pause()
  const asked = []
  const handles = await executor.enqueueMany(note, new Set(['a', 'b', 'c', 'd']), (input, index) => {
    asked.push([input, index])
    if (input === 'a') return undefined
    if (input === 'd') return { delay: '1h', group: 'late' }
    return { id: `task-${input}`, priority: index, metadata: { at: String(index) } }
  })
  assert.deepEqual(asked, [
    ['a', 0],
    ['b', 1],
    ['c', 2],
    ['d', 3],
  ])
  assert.deepEqual(idsOf(handles.slice(1, 3)), ['task-b', 'task-c'])
  await executor.start()
  await executor.resume()
  assert.deepEqual(await Promise.all(handles.slice(0, 3).map(handle => handle.result())), [
    ['a', {}],
    ['b', { at: '1' }],
    ['c', { at: '2' }],
  ])
  assert.deepEqual(order, ['c', 'b', 'a'])
  const { state, group } = await handles[3].status()
  assert.deepEqual([state, group], ['scheduled', 'late'])
})

onEveryStore('one that is refused keeps all of them out', async (_t, on) => {
  const odd = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: value => (value % 2 ? { value } : { issues: [{ message: 'even' }] }),
    },
  }
  const later = {
    '~standard': { ...odd['~standard'], validate: async value => odd['~standard'].validate(value) },
  }
  const plain = defineTask({ name: 'plain', handler: input => input })
  const checked = defineTask({ name: 'checked', input: odd, handler: input => input })
  const slow = defineTask({ name: 'slow', input: later, handler: input => input })
  const executor = on({ tasks: [plain, checked, slow], maxQueue: 50, maxPayload: 1_000 })
  await executor.pause()
  const holder = await executor.enqueue(plain, 'held', { id: 'holder', key: 'held' })
  const boom = new Error('boom')
  /** The third of five is another. */
  const but = (third, others = 1) => [others, others, third, others, others]
  const third = options => (_, index) => (index === 2 ? options : { key: `free-${index}` })
  const refusals = [
    [plain, but(3n), undefined, 'ERR_TASK_SERIALIZE'],
    [plain, but('x'.repeat(1_000)), undefined, 'ERR_PAYLOAD_SIZE'],
    [plain, numbers(50), undefined, 'ERR_QUEUE_FULL'],
    [checked, but(2), undefined, 'ERR_TASK_INPUT'],
    [slow, but(2), undefined, 'ERR_TASK_INPUT'],
    [plain, but(1), third({ key: 'held', onConflict: 'error' }), 'ERR_TASK_DUPLICATE'],
    [plain, but(1), third({ key: 'free-1', onConflict: 'error' }), 'ERR_TASK_DUPLICATE'],
    [plain, but(1), third({ id: 'holder' }), 'ERR_TASK_DUPLICATE'],
    [plain, numbers(5), { id: 'one-for-all' }, 'ERR_TASK_DUPLICATE'],
    [plain, but(1), third({ after: ['nobody'] }), 'ERR_TASK_NOT_FOUND'],
    [plain, but(1), third({ id: 'self', after: ['self'] }), 'ERR_OPTION'],
    [plain, but(1), third({ prioritty: 1 }), 'ERR_OPTION'],
    [plain, but(1), third('soon'), 'ERR_OPTION'],
  ]
  for (const [task, inputs, options, code] of refusals) {
    const error = await rejection(executor.enqueueMany(task, inputs, options))
    assert.equal(error.code, code, error.message)
    assert.deepEqual(idsOf(await collect(executor.list())), [holder.id], error.message)
  }
  const misspelt = await rejection(executor.enqueueMany(plain, but(1), third({ prioritty: 1 })))
  assert.match(misspelt.message, /"prioritty" is not an option of enqueueMany\(\), for input 2; did you mean/)
  const thrown = executor.enqueueMany(plain, but(1), (_, index) => {
    if (index === 2) throw boom
  })
  assert.equal(await rejection(thrown), boom)
  const free = await executor.enqueueMany(plain, but(1), third({ key: 'free-2' }))
  assert.ok(
    free.every(handle => handle.created),
    'no refusal has left a key behind',
  )
})

onEveryStore('a key that is taken follows its rule, and the others come in', async (_t, on) => {
  const echo = defineTask({ name: 'echo', handler: input => input })
  const executor = on({ tasks: [echo] })
  await executor.pause()
  const [kept, ousted] = await executor.enqueueMany(echo, ['kept', 'ousted'], input => ({ key: input }))
  const handles = await executor.enqueueMany(echo, ['new', 'second', 'third', 'twice', 'twin'], input => {
    if (input === 'second') return { key: 'kept' }
    if (input === 'third') return { key: 'ousted', onConflict: 'replace' }
    return input === 'new' ? undefined : { key: 'twins' }
  })
  assert.deepEqual(
    handles.map(handle => handle.created),
    [true, false, true, true, false],
  )
  assert.equal(handles[1].id, kept.id)
  assert.equal(handles[4].id, handles[3].id)
  await executor.start()
  await executor.resume()
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), [
    'new',
    'kept',
    'third',
    'twice',
    'twice',
  ])
  await assert.rejects(ousted.result(), failure('ERR_TASK_CANCELLED'))
  const known = await executor.enqueueMany(echo, ['a', 'b'], input => ({ id: `id-${input}` }))
  const again = await executor.enqueueMany(echo, ['a', 'c', 'b'], input => ({ id: `id-${input}` }))
  assert.deepEqual(
    again.map(handle => handle.created),
    [false, true, false],
  )
  assert.deepEqual([again[0].id, again[2].id], idsOf(known))
  assert.deepEqual(await Promise.all(again.map(handle => handle.result())), ['a', 'c', 'b'])
})

for (const [store, addressFor] of STORES.filter(([name]) => name !== 'memory')) {
  test(`of a process that is killed, a batch is there or not (${store})`, async t => {
    const persistence = await addressFor(t)
    const executor = open(t, { persistence, queues: [] })
    const size = 400
    for (let life = 0; life < 3; life += 1) {
      const child = fork(PRODUCER, [persistence, String(life), String(size)])
      t.after(() => child.kill('SIGKILL'))
      const acknowledged = []
      child.on('message', group => acknowledged.push(group))
      const gone = once(child, 'exit')
      await until(() => acknowledged.length > 2)
      child.kill('SIGKILL')
      await within(gone)
      const sizes = new Map()
      for await (const { group } of executor.list())
        if (group.startsWith(`${life}-`)) sizes.set(group, (sizes.get(group) ?? 0) + 1)
      for (const [group, found] of sizes) assert.equal(found, size, group)
      for (const group of acknowledged) assert.ok(sizes.has(group), `${group} was acknowledged`)
    }
  })
}

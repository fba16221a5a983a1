// Workflows: tasks that are enqueued in one step and wait for each other.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { failure, open, rejection } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

/** Kinds that add up; `broken` has the inputs that fail. */
function kinds() {
  const broken = new Set()
  const runs = []
  const add = defineTask({
    name: 'add',
    async handler(n, ctx) {
      runs.push(n)
      if (broken.has(n)) throw new Error(`broken ${n}`)
      const parts = await ctx.results()
      return parts.reduce((sum, part) => sum + part, n)
    },
  })
  return { add, broken, runs }
}

onEveryStore('a diamond runs in order and hands its results on', async (_t, on) => {
  const { add } = kinds()
  const executor = on({ tasks: [add] })
  await executor.start()
  const outside = await executor.enqueue(add, 1_000)
  const flow = await executor.enqueueFlow([
    { ref: 'bottom', task: add, input: 1, after: ['right', 'left', 'right'] },
    { ref: 'left', task: 'add', input: 10, after: ['top'] },
    { ref: 'right', task: add, input: 100, after: ['top'], options: { after: [outside], priority: 5 } },
    { ref: 'top', task: add, input: 1_000_000 },
  ])
  assert.deepEqual(await flow.results(), {
    bottom: 2_001_111,
    left: 1_000_010,
    right: 1_001_100,
    top: 1_000_000,
  })
  const info = await executor.getFlow(flow.id)
  const { bottom, left, right, top } = flow.handles
  assert.deepEqual(
    info.tasks.map(task => task.id),
    [bottom, left, right, top].map(handle => handle.id),
  )
  assert.deepEqual(
    new Set(info.edges.map(String)),
    new Set(
      [
        [right.id, bottom.id],
        [left.id, bottom.id],
        [top.id, left.id],
        [top.id, right.id],
        [outside.id, right.id],
      ].map(String),
    ),
  )
  assert.deepEqual([info.id, info.total, info.ended, info.counts.completed], [flow.id, 4, 4, 4])
  assert.deepEqual(await executor.getFlow(left.id), info, 'any task of it names it')
  const ids = []
  for await (const task of executor.list({ flow: flow.id, state: 'completed' })) ids.push(task.id)
  assert.equal(ids.length, 4)
})

onEveryStore('a retry revives what was cancelled because of it, and nothing else', async (_t, on) => {
  const { add, broken, runs } = kinds()
  const executor = on({ tasks: [add] })
  await executor.start()
  for (const n of [1, 2]) broken.add(n)
  const flow = await executor.enqueueFlow([
    { ref: 'one', task: add, input: 1 },
    { ref: 'two', task: add, input: 2 },
    { ref: 'fine', task: add, input: 3 },
    { ref: 'child', task: add, input: 10, after: ['one', 'fine'] },
    { ref: 'grandchild', task: add, input: 20, after: ['child', 'one'] },
    { ref: 'both', task: add, input: 30, after: ['one', 'two'] },
    { ref: 'anyway', task: add, input: 40, after: ['one'], options: { onBlockerFailure: 'run' } },
  ])
  assert.equal((await rejection(flow.results())).code, 'ERR_TASK_FAILED')
  const { counts } = await flow.settled()
  assert.deepEqual([counts.completed, counts.failed, counts.cancelled], [2, 2, 3])
  broken.clear()
  runs.length = 0
  assert.equal(await flow.handles.one.retry(), true)
  assert.equal(await flow.handles.grandchild.result(), 35)
  assert.deepEqual(runs, [1, 10, 20])
  assert.equal((await flow.handles.both.status()).state, 'cancelled', 'it waits for the other one too')
  assert.equal(await flow.retry(), 2)
  assert.equal((await flow.results()).both, 33)
  assert.deepEqual(runs, [1, 10, 20, 2, 30])
})

onEveryStore('what needs a task that cannot be retried stays as it is', async (_t, on) => {
  const { add, broken, runs } = kinds()
  const executor = on({ tasks: [add] })
  await executor.start()
  broken.add(1)
  const flow = await executor.enqueueFlow([
    { ref: 'grandchild', task: add, input: 20, after: ['child'] },
    { ref: 'child', task: add, input: 10, after: ['head'] },
    { ref: 'head', task: add, input: 1, options: { key: 'k' } },
  ])
  await flow.settled()
  broken.clear()
  const holder = await executor.enqueue(add, 5, { key: 'k', delay: '1h' })
  assert.equal(await flow.handles.head.retry(), false)
  assert.equal(await flow.retry(), 0)
  const { counts } = await flow.status()
  assert.deepEqual([counts.failed, counts.cancelled], [1, 2])
  await holder.cancel()
  assert.equal(await flow.retry(), 3)
  assert.equal(await flow.handles.grandchild.result(), 31)
  assert.deepEqual(runs, [1, 1, 10, 20])
})

onEveryStore('a flow with a name is enqueued once', async (_t, on) => {
  const { add, runs } = kinds()
  const executor = on({ tasks: [add] })
  await executor.start()
  const tasks = [
    { ref: 'a', task: add, input: 1 },
    { ref: 'b', task: add, input: 2, after: ['a'] },
  ]
  const first = await executor.enqueueFlow(tasks, { id: 'nightly' })
  const again = await executor.enqueueFlow(tasks, { id: 'nightly' })
  assert.deepEqual([first.handles.b.id, first.handles.b.created], ['nightly/b', true])
  assert.deepEqual([again.handles.b.id, again.handles.b.created], ['nightly/b', false])
  assert.deepEqual(await again.results(), { a: 1, b: 3 })
  assert.deepEqual(runs, [1, 2])
  const other = tasks.with(0, { ref: 'a', task: add, input: 5 })
  await assert.rejects(executor.enqueueFlow(other, { id: 'nightly' }), failure('ERR_TASK_DUPLICATE'))
})

onEveryStore('cancel ends what has not ended, and nothing more', async (_t, on) => {
  const { add } = kinds()
  const executor = on({ tasks: [add] })
  await executor.start()
  const flow = await executor.enqueueFlow([
    { ref: 'a', task: add, input: 1 },
    { ref: 'b', task: add, input: 2, after: ['a'], options: { delay: '1h' } },
    { ref: 'c', task: add, input: 3, after: ['b'] },
  ])
  await flow.handles.a.result()
  const other = await executor.enqueue(add, 5, { delay: '1h' })
  await flow.cancel('not needed')
  const { counts, ended, total } = await flow.settled()
  assert.deepEqual([counts.completed, counts.cancelled, ended, total], [1, 2, 3, 3])
  assert.equal((await flow.handles.b.status()).reason, 'not needed')
  assert.equal((await other.status()).state, 'scheduled')
})

onEveryStore('what a run spawns comes with its success, and is part of its flow', async (_t, on) => {
  const child = defineTask({ name: 'child', handler: n => n })
  const parent = defineTask({
    name: 'parent',
    retry: { attempts: 2, base: 1 },
    async handler(input, ctx) {
      const first = ctx.spawn(child, ctx.attempt * 10, { id: `${input}-${ctx.attempt}` })
      const second = ctx.spawn('child', 2, { after: [first], priority: 3 })
      if (ctx.attempt === 1) throw new Error('not yet')
      return [first, second]
    },
  })
  const executor = on({ tasks: [child, parent] })
  await executor.start()
  const flow = await executor.enqueueFlow([
    { ref: 'parent', task: parent, input: 'p' },
    { ref: 'last', task: child, input: 9, after: ['parent'] },
  ])
  const [first, second] = (await flow.results()).parent
  assert.equal(first, 'p-2')
  assert.match(second, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const { tasks, counts, edges } = await flow.settled()
  assert.deepEqual([counts.completed, tasks.length], [4, 4])
  assert.ok(edges.some(([from, to]) => from === first && to === second))
  assert.equal((await executor.get(first)).output, 20)
  assert.equal(await executor.get('p-1'), undefined, 'that attempt has failed')
})

test('spawned inputs are checked, and a run that spawns nonsense fails', async t => {
  const schema = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: async value => (value === 'good' ? { value } : { issues: [{ message: 'not good' }] }),
    },
  }
  const child = defineTask({ name: 'child', input: schema, handler: input => input })
  const parent = defineTask({
    name: 'parent',
    handler: (input, ctx) => ctx.spawn(child, input.value, input.options),
  })
  const executor = open(t, { tasks: [child, parent] })
  const run = async (value, options) => (await executor.enqueue(parent, { value, options })).result()
  await assert.rejects(run('bad'), failure('ERR_TASK_INPUT'))
  await assert.rejects(run('good', { prioritty: 1 }), failure('ERR_OPTION'))
  assert.equal((await executor.get(await run('good'))).name, 'child')
  assert.equal((await executor.counts()).failed, 2)
})

test('a definition that is executed in memory may spawn, and keeps its steps', async t => {
  const seen = []
  const child = defineTask({ name: 'child', handler: n => seen.push(n) })
  const parent = defineTask({
    name: 'parent',
    retry: { attempts: 3, base: 1 },
    async handler(_, ctx) {
      ctx.progress(1)
      ctx.log('nobody can read this')
      const drawn = await ctx.step('draw', () => ctx.attempt)
      ctx.spawn(child, ctx.attempt)
      if (ctx.attempt < 3) throw new Error('again')
      return [drawn, await ctx.results()]
    },
  })
  const executor = open(t, { tasks: [child, parent] })
  assert.deepEqual(await executor.execute(parent), [1, []])
  await executor.onIdle()
  assert.deepEqual(seen, [3])
})

test('of a task in no flow one sees what it has waited for', async t => {
  const { add } = kinds()
  const executor = open(t, { tasks: [add] })
  const a = await executor.enqueue(add, 1)
  const b = await executor.enqueue(add, 2, { after: [a] })
  const c = await executor.enqueue(add, 3, { after: [b, a] })
  await c.result()
  const info = await executor.getFlow(c.id)
  assert.deepEqual([info.id, info.total, info.edges.length], [undefined, 3, 3])
  assert.equal(info.tasks.at(-1).id, c.id)
  await assert.rejects(executor.getFlow('nobody'), failure('ERR_TASK_NOT_FOUND'))
})

test('a mistake in a flow is named, and enqueues nothing', async t => {
  const { add } = kinds()
  const executor = open(t, { tasks: [add] })
  const entry = (ref, after, more) => ({ ref, task: add, input: 1, after, ...more })
  const mistakes = [
    [undefined, /takes an array of 1 to/],
    [[], /takes an array of 1 to/],
    [[5], /"tasks\[0\]" must be a plain object; got 5/],
    [[{ task: add }], /"tasks\[0\]\.ref" must be a name/],
    [[{ ref: 'a' }], /"tasks\[0\]\.task" must be a task definition or its name/],
    [[entry('a'), entry('a')], /"tasks\[1\]\.ref" of enqueueFlow\(\): "a" is taken already/],
    [[entry('a', ['b'])], /"tasks\[0\]\.after" of enqueueFlow\(\) names "b", which is the ref of no entry/],
    [[entry('a', 'b')], /"tasks\[0\]\.after" must be an array/],
    [[entry('a', ['a'])], /in a circle: a -> a$/],
    [
      [entry('x', ['a']), entry('a', ['b']), entry('b', ['c', 'x']), entry('c', ['a'])],
      /circle: a -> b -> c -> a$/,
    ],
    [
      [entry('a', [], { afterr: [] })],
      /"tasks\[0\]\.afterr" is not an option of enqueueFlow\(\); did you mean/,
    ],
    [[entry('a', [], { options: { delay: 'x' } })], /"delay"/],
  ]
  for (const [tasks, message] of mistakes) {
    await assert.rejects(executor.enqueueFlow(tasks), { ...failure('ERR_OPTION'), message })
  }
  await assert.rejects(executor.enqueueFlow([entry('a')], { id: 'i'.repeat(127) }), {
    ...failure('ERR_OPTION'),
    message: /make an id of 129 bytes; 128 are allowed/,
  })
  await assert.rejects(executor.enqueueFlow([entry('a'), { ref: 'b', task: add, input: 1n }]), {
    code: 'ERR_TASK_SERIALIZE',
  })
  await assert.rejects(executor.enqueueFlow([entry('a', [], { options: { after: ['nobody'] } })]), {
    code: 'ERR_TASK_NOT_FOUND',
  })
  assert.deepEqual(Object.values(await executor.counts()), [0, 0, 0, 0, 0, 0, 0])
})

test('a chain of 3000 and a fan of 5000 are no trouble', async t => {
  let most = 0
  const link = defineTask({
    name: 'link',
    async handler(_, ctx) {
      const before = await ctx.results()
      most = Math.max(most, before.length)
      return 1 + Math.max(0, ...before)
    },
  })
  const retention = { completed: { count: 100_000 } }
  const executor = open(t, { tasks: [link], concurrency: 64, retention })
  const chain = Array.from({ length: 3_000 }, (_, n) => ({
    ref: `c${n}`,
    task: link,
    after: n > 0 ? [`c${n - 1}`] : [],
  }))
  const fan = Array.from({ length: 5_000 }, (_, n) => ({ ref: `f${n}`, task: link }))
  const flow = await executor.enqueueFlow([
    ...chain,
    ...fan,
    { ref: 'end', task: link, after: ['c2999', ...fan.map(({ ref }) => ref)] },
  ])
  assert.equal(await flow.handles.end.result(), 3_001)
  assert.equal(most, 5_001)
})

test('waiting for a flow ends with a signal, the flow does not', async t => {
  const { add } = kinds()
  const executor = open(t, { tasks: [add] })
  const flow = await executor.enqueueFlow([{ ref: 'a', task: add, input: 1, options: { delay: '1h' } }])
  for (const wait of ['results', 'settled']) {
    const reason = new Error(wait)
    await assert.rejects(flow[wait]({ signal: AbortSignal.abort(reason) }), reason)
    const controller = new AbortController()
    const waiting = flow[wait]({ signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(waiting, reason)
  }
  assert.equal((await flow.handles.a.status()).state, 'scheduled')
})

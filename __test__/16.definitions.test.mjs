// Definitions: a kind of task with a name, a handler and its own policy; `execute` runs it here and now.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { deferred, failure, open, rejection } from './support/executors.mjs'
import { refusal } from './support/refusal.mjs'

const numbers = count => Array.from({ length: count }, (_, at) => at)

/** A schema that takes what `validate` gives. */
function schema(validate) {
  return { '~standard': { version: 1, vendor: 'test', validate } }
}
const positive = schema(value =>
  value > 0 ? { value: Number(value) } : { issues: [{ message: 'not positive' }, { message: 'try 1' }] },
)

test('execute runs a definition here and now, and passes any object by reference', async t => {
  const executor = open(t)
  const input = { map: new Map([[1, 2]]), big: 5n }
  const task = defineTask({ name: 'task', handler: given => given })
  assert.equal(await executor.execute(task, input), input)
  assert.equal(await executor.execute({ name: 'plain', handler: given => given }, input), input)
  assert.equal((await executor.counts()).completed, 0)
})

test('its context knows its name', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: (_, ctx) => ctx })
  for (const ctx of [await executor.execute(task), await executor.execute(task, 1, { timeout: '1h' })]) {
    assert.deepEqual([ctx.name, ctx.attempt, ctx.maxAttempts, ctx.metadata], ['task', 1, 1, {}])
    assert.equal(typeof ctx.id, 'string')
  }
})

test('by its name, once it is registered', async t => {
  const task = defineTask({ name: 'task', handler: input => input * 2 })
  const executor = open(t, { tasks: [task] })
  assert.equal(await executor.execute('task', 4), 8)
  assert.equal(await (await executor.enqueue('task', 5)).result(), 10)
  await assert.rejects(executor.execute('other'), failure('ERR_TASK_UNKNOWN'))
  executor.register({ name: 'other', handler: () => 'other' })
  assert.equal(await executor.execute('other'), 'other')
})

test('the schema of the input is checked, and gives what the handler gets', async t => {
  const executor = open(t)
  for (const wrap of [value => value, value => nextLoop(value)]) {
    const input = schema(value => wrap(positive['~standard'].validate(value)))
    const task = defineTask({ name: `task ${wrap}`.slice(0, 40), input, handler: given => [given] })
    assert.deepEqual(await executor.execute(task, '5'), [5])
    assert.deepEqual(await (await executor.enqueue(task, '5')).result(), [5])
    for (const call of [() => executor.execute(task, -1), () => executor.enqueue(task, -1)]) {
      const error = await rejection(call())
      assert.equal(error.code, 'ERR_TASK_INPUT')
      assert.equal(error.retryable, false)
      assert.match(error.message, /not positive; try 1/)
    }
    await assert.rejects(executor.enqueueMany(task, [1, -1, 2]), failure('ERR_TASK_INPUT'))
  }
  assert.equal((await executor.counts()).completed, 2)
})

test('a schema that throws, or gives nonsense, is an error of the call', async t => {
  const executor = open(t)
  const boom = new Error('boom')
  const throws = defineTask({
    name: 'throws',
    handler: () => assert.fail('it was run'),
    input: schema(() => {
      throw boom
    }),
  })
  const rejects = defineTask({ ...throws, name: 'rejects', input: schema(() => Promise.reject(boom)) })
  for (const task of [throws, rejects]) {
    assert.equal(await rejection(executor.execute(task, 1)), boom)
    assert.equal(await rejection(executor.enqueue(task, 1)), boom)
    // The second input is refused on the spot, while the check of the first is under way.
    await assert.rejects(executor.enqueueMany(task, [1, 5n]))
  }
  for (const nonsense of [undefined, null]) {
    const task = defineTask({ ...throws, name: `gives ${nonsense}`, input: schema(() => nonsense) })
    await assert.rejects(executor.execute(task, 1), TypeError)
  }
  await nextLoop()
  assert.deepEqual(await executor.counts().then(counts => [counts.waiting, counts.failed]), [0, 0])
})

test('the input is checked again before the handler, and a mismatch is never retried', async t => {
  let strict = false
  const input = schema(value => (strict ? { issues: [{ message: 'strict now' }] } : { value }))
  const task = defineTask({
    name: 'task',
    input,
    retry: { attempts: 5, base: 0 },
    handler: () => assert.fail('it was run'),
  })
  const executor = open(t)
  await executor.pause()
  const handle = await executor.enqueue(task, 1)
  strict = true
  await executor.resume()
  const error = await rejection(handle.result())
  assert.equal(error.code, 'ERR_TASK_INPUT')
  assert.match(error.message, /strict now/)
  assert.equal((await handle.status()).errors.length, 1)
})

test('concurrency of a kind holds for it, and for no other', async t => {
  let [running, most] = [0, 0]
  const slow = defineTask({
    name: 'slow',
    concurrency: 2,
    handler: async () => {
      running += 1
      most = Math.max(most, running)
      await sleep(2)
      running -= 1
    },
  })
  const executor = open(t, { concurrency: 8 })
  const closures = numbers(20).map(() => executor.execute(slow))
  const handles = await executor.enqueueMany(slow, numbers(20))
  let others = 0
  await executor.executeAll(numbers(6).map(() => () => ++others))
  assert.equal(others, 6)
  assert.ok((await executor.counts()).completed < 20, 'the others overtook it')
  await Promise.all([...closures, ...handles.map(handle => handle.result())])
  assert.equal(most, 2)
})

test('concurrency of a queue', async t => {
  let [running, most] = [0, 0]
  const work = defineTask({
    name: 'work',
    queue: 'narrow',
    handler: async () => {
      running += 1
      most = Math.max(most, running)
      await nextLoop()
      running -= 1
    },
  })
  const executor = open(t, { concurrency: 8, queues: { narrow: { concurrency: 3 }, default: {} } })
  const handles = await executor.enqueueMany(work, numbers(40))
  await Promise.all(handles.map(handle => handle.result()))
  assert.equal(most, 3)
})

test('queues: only those are worked; an empty list makes a pure producer', async t => {
  const done = []
  const task = defineTask({ name: 'task', handler: input => void done.push(input) })
  const some = open(t, { queues: ['mail'] })
  const mail = await some.enqueue(task, 'mail', { queue: 'mail' })
  const other = await some.enqueue(task, 'other', { queue: 'other' })
  await mail.result()
  await sleep(20)
  assert.deepEqual(done, ['mail'])
  assert.equal((await other.status()).state, 'waiting')
  const producer = open(t, { queues: [] })
  const never = await producer.enqueue(task, 'never')
  await sleep(20)
  assert.equal((await never.status()).state, 'waiting')
  assert.equal(await producer.execute(() => 'closures run all the same'), 'closures run all the same')
})

test('what a call says comes before the definition, and that before the executor', async t => {
  const order = []
  const policy = { queue: 'defined', priority: 5, timeout: 20 }
  const task = defineTask({ name: 'task', ...policy, handler: input => void order.push(input) })
  const bare = defineTask({ name: 'bare', handler: input => void order.push(input) })
  const executor = open(t, { concurrency: 1, queue: 'usual', priority: 3, timeout: '1h' })
  await executor.pause()
  const handles = await Promise.all([
    executor.enqueue(bare, 'bare'),
    executor.enqueue(task, 'task'),
    executor.enqueue(task, 'call', { queue: 'said', priority: 4 }),
  ])
  const infos = await Promise.all(handles.map(handle => handle.status()))
  assert.deepEqual(
    infos.map(info => [info.queue, info.priority]),
    [
      ['usual', 3],
      ['defined', 5],
      ['said', 4],
    ],
  )
  await executor.resume()
  await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(order, ['task', 'call', 'bare'])

  const hang = defineTask({ name: 'hang', timeout: 20, handler: () => sleep(60, 'patience') })
  await assert.rejects(executor.execute(hang), failure('ERR_TASK_TIMEOUT'))
  assert.equal(await executor.execute(hang, undefined, { timeout: '1h' }), 'patience')
  assert.equal(await (await executor.enqueue(hang, 1, { timeout: '1h' })).result(), 'patience')
})

test('a handler runs in the async context of its registration, not of a stranger', async t => {
  const storage = new AsyncLocalStorage()
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: () => nextLoop().then(() => storage.getStore()) })
  storage.run('registered', () => executor.register(task))
  const stored = await storage.run('enqueued', () => executor.enqueue(task))
  assert.equal(await stored.result(), 'registered')
  // A caller of execute is no stranger: it waits for this very run.
  assert.equal(await storage.run('called', () => executor.execute(task)), 'called')
})

test('a name belongs to one handler', async t => {
  const task = defineTask({ name: 'task', handler: () => 1 })
  const executor = open(t, { tasks: [task] })
  executor.register(task)
  assert.throws(
    () => executor.register({ name: 'task', handler: () => 2 }),
    refusal('"task" is registered already'),
  )
  await assert.rejects(executor.execute({ name: 'task', handler: () => 2 }), refusal('registered already'))
  assert.equal(await executor.execute(task), 1)
})

test('without a handler a task waits for one, and starts when there is', async t => {
  const executor = open(t)
  const handle = await executor.enqueue('later', 'input')
  const other = await executor.enqueue(defineTask({ name: 'declared' }), 1)
  await sleep(20)
  for (const waiting of [handle, other]) {
    const { state, waitingFor } = await waiting.status()
    assert.deepEqual([state, waitingFor.reason], ['waiting', 'no-handler'])
  }
  await assert.rejects(executor.execute('later'), failure('ERR_TASK_UNKNOWN'))
  executor.register({ name: 'later', handler: input => `${input} at last` })
  assert.equal(await handle.result(), 'input at last')
})

test('a running task of a kind does not change when the kind is used meanwhile', async t => {
  const gate = deferred()
  const task = defineTask({ name: 'task', handler: input => (input === 'slow' ? gate.promise : input) })
  const executor = open(t)
  const slow = await executor.enqueue(task, 'slow')
  executor.register(task)
  assert.equal(await (await executor.enqueue(task, 'quick')).result(), 'quick')
  gate.resolve('slow')
  assert.equal(await slow.result(), 'slow')
})

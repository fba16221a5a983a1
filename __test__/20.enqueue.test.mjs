// `enqueue`: puts a task in the queue, once it is there gives a handle, and takes its input as it is now.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, RetryPolicy } from '../index.js'
import { collect, failure, never, occupy, open, rejection } from './support/executors.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const numbers = count => Array.from({ length: count }, (_, at) => at)

test('it resolves with a handle as soon as the task is in the queue', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = await occupy(executor)
  const handle = await executor.enqueue(echo, { a: [1, 'two', null] })
  assert.match(handle.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(handle.created, true)
  assert.equal((await handle.status()).state, 'waiting')
  await gate.release()
  assert.deepEqual(await handle.result(), { a: [1, 'two', null] })
})

test('ids grow with time, and are all different', async t => {
  const executor = open(t)
  const first = await executor.enqueueMany(echo, numbers(5_000))
  await sleep(2)
  const later = await executor.enqueue(echo)
  const ids = first.map(handle => handle.id)
  assert.equal(new Set(ids).size, 5_000)
  assert.ok(ids.every(id => id < later.id))
})

test('an id of your own: enqueued again, it is the same task, whatever its state', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = await occupy(executor)
  const again = async () => {
    const handle = await executor.enqueue(echo, { n: 1 }, { id: 'order-7' })
    assert.equal(handle.id, 'order-7')
    return handle
  }
  const first = await again()
  assert.equal(first.created, true)
  const all = await Promise.all(numbers(50).map(again))
  assert.ok(all.every(handle => !handle.created))
  await gate.release()
  assert.deepEqual(await all[49].result(), { n: 1 })
  const late = await again()
  assert.equal(late.created, false)
  assert.deepEqual(await late.result(), { n: 1 })
  assert.equal((await collect(executor.list())).length, 1)
})

test('another input for an id is an error, and changes nothing', async t => {
  const executor = open(t)
  const handle = await executor.enqueue(echo, 'one', { id: 'same' })
  await assert.rejects(executor.enqueue(echo, 'two', { id: 'same' }), failure('ERR_TASK_DUPLICATE'))
  assert.equal(await handle.result(), 'one')
  await assert.rejects(executor.enqueue(echo, 'two', { id: 'same' }), failure('ERR_TASK_DUPLICATE'))
  assert.equal((await handle.status()).input, 'one')
})

test('the input is taken when the call is made', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = await occupy(executor)
  const input = { list: [1] }
  const call = executor.enqueue(echo, input)
  input.list.push(2)
  const handle = await call
  input.list.push(3)
  const many = [{ n: 1 }, { n: 2 }]
  const calls = executor.enqueueMany(echo, many)
  many[0].n = 5
  await gate.release()
  assert.deepEqual(await handle.result(), { list: [1] })
  assert.deepEqual(await Promise.all((await calls).map(one => one.result())), [{ n: 1 }, { n: 2 }])
})

test('enqueueMany: all of them or none', async t => {
  const executor = open(t, { maxQueue: 10 })
  await executor.pause()
  assert.deepEqual(await executor.enqueueMany(echo, []), [])
  const handles = await executor.enqueueMany(echo, new Set([1, 2, 3]))
  assert.deepEqual(
    handles.map(handle => handle.created),
    [true, true, true],
  )
  await assert.rejects(executor.enqueueMany(echo, [1, 5n, 3]), failure('ERR_TASK_SERIALIZE'))
  await assert.rejects(executor.enqueueMany(echo, numbers(8)), failure('ERR_QUEUE_FULL'))
  const boom = new Error('boom')
  const broken = function* () {
    yield 1
    throw boom
  }
  assert.equal(await rejection(executor.enqueueMany(echo, broken())), boom)
  for (const inputs of [undefined, null, 5, {}]) {
    await assert.rejects(executor.enqueueMany(echo, inputs), failure('ERR_OPTION'))
  }
  assert.equal((await executor.counts()).waiting, 3)
  await executor.resume()
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), [1, 2, 3])
})

test('ten thousand in one enqueueMany', async t => {
  const executor = open(t, { concurrency: 50 })
  const handles = await executor.enqueueMany(echo, numbers(10_000))
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), numbers(10_000))
})

test('a delayed task starts no sooner, and tells until when it waits', async t => {
  const starts = []
  const note = defineTask({ name: 'note', handler: input => void starts.push([input, Date.now()]) })
  const executor = open(t)
  const since = Date.now()
  const runAt = new Date(since + 80)
  const handles = await Promise.all([
    executor.enqueue(note, 'delay', { delay: 60 }),
    executor.enqueue(note, 'runAt', { runAt }),
    executor.enqueue(note, 'past', { runAt: new Date(0) }),
  ])
  const { state, waitingFor, runAt: said } = await handles[1].status()
  if (state === 'scheduled') assert.deepEqual([waitingFor.reason, waitingFor.until], ['time', runAt])
  assert.deepEqual(said, runAt)
  await Promise.all(handles.map(handle => handle.result()))
  const at = Object.fromEntries(starts)
  assert.deepEqual(Object.keys(at), ['past', 'delay', 'runAt'])
  assert.ok(at.delay >= since + 60 && at.runAt >= since + 80)
})

test('a delay of a hundred years is one', async t => {
  const executor = open(t)
  const handle = await executor.enqueue(echo, 1, { delay: '36525d' })
  const far = await executor.enqueue(echo, 1, { runAt: new Date(8.64e15) })
  await sleep(30)
  assert.equal((await handle.status()).state, 'scheduled')
  assert.deepEqual((await far.status()).runAt, new Date(8.64e15))
})

test('metadata reaches the handler and the status', async t => {
  const executor = open(t)
  const meta = defineTask({ name: 'meta', handler: (_, ctx) => ctx.metadata })
  const metadata = JSON.parse(
    '{"user":"7","__proto__":"x","constructor":"y","":"","e\\u0301":"\\ud83d\\ude80\\n\\u2028"}',
  )
  delete metadata['']
  const handle = await executor.enqueue(meta, null, { metadata })
  assert.deepEqual(await handle.result(), metadata)
  const status = await handle.status()
  assert.deepEqual(status.metadata, metadata)
  assert.equal(Object.hasOwn(status.metadata, '__proto__'), true)
  assert.deepEqual(await (await executor.enqueue(meta)).result(), {})
})

test('timeout, retry and group of a call hold for that task', async t => {
  const executor = open(t)
  const hang = defineTask({ name: 'hang', handler: () => never() })
  const handle = await executor.enqueue(hang, 1, { timeout: 10, retry: RetryPolicy.fixed(3, 1), group: 'g' })
  await assert.rejects(handle.result(), failure('ERR_TASK_TIMEOUT'))
  const { attempt, maxAttempts, group } = await handle.status()
  assert.deepEqual([attempt, maxAttempts, group], [3, 3, 'g'])
})

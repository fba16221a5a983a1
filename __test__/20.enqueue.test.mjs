// `enqueue`: puts a task in the queue and gives a handle, which outlives the wait for the result.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, RetryPolicy } from '../index.js'
import { collect, deferred, failure, never, occupy, open, rejection, until, within } from './support/executors.mjs'

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

test('result before the end and after it, as often as wanted', async t => {
  const executor = open(t)
  const gate = deferred()
  const slow = defineTask({ name: 'slow', handler: () => gate.promise })
  const handle = await executor.enqueue(slow)
  const before = [handle.result(), handle.result(), handle.result({})]
  gate.resolve('done')
  assert.deepEqual(await Promise.all(before), ['done', 'done', 'done'])
  assert.equal(await handle.result(), 'done')
  assert.equal(await handle.result({}), 'done')
  assert.equal(await handle.result({ signal: new AbortController().signal }), 'done')
})

test('result rejects with a TaskError that has the failure as its cause', async t => {
  const executor = open(t)
  const fails = defineTask({
    name: 'fails',
    handler: () => {
      throw new RangeError('out of range')
    },
  })
  const handle = await executor.enqueue(fails)
  for (const wait of [handle.result(), handle.result(), handle.result({})]) {
    const error = await rejection(wait)
    assert.deepEqual([error.name, error.code, error.message], ['TaskError', 'ERR_TASK_FAILED', 'out of range'])
    assert.deepEqual([error.cause.name, error.cause.message], ['RangeError', 'out of range'])
    assert.match(error.cause.stack, /20\.enqueue/)
    assert.equal(error.taskId, handle.id)
  }
})

test('nobody has to ask for a result: a failure that nobody waits for harms nobody', async t => {
  const executor = open(t)
  const fails = defineTask({ name: 'fails', handler: () => Promise.reject(new Error('unheard')) })
  await executor.enqueueMany(fails, numbers(50))
  await executor.onIdle()
  assert.equal((await executor.counts()).failed, 50)
})

test('a signal ends the wait, not the task', async t => {
  const executor = open(t)
  const gate = deferred()
  const slow = defineTask({ name: 'slow', handler: () => gate.promise })
  const handle = await executor.enqueue(slow)
  assert.equal(await rejection(handle.result({ signal: AbortSignal.abort('before') })), 'before')
  const aborts = new AbortController()
  const wait = handle.result({ signal: aborts.signal })
  const other = handle.result()
  aborts.abort('enough')
  assert.equal(await rejection(wait), 'enough')
  gate.resolve('done')
  assert.equal(await other, 'done')
})

test('a wait that ended does not take the outcome of the next one', async t => {
  const executor = open(t, { concurrency: 2 })
  const gates = new Map([1, 2].map(n => [n, deferred()]))
  const slow = defineTask({ name: 'slow', handler: n => gates.get(n).promise })
  const [one, two] = await executor.enqueueMany(slow, [1, 2])
  for (let round = 0; round < 50; round += 1) {
    const aborts = new AbortController()
    const wait = one.result({ signal: aborts.signal })
    if (round === 25) gates.get(1).resolve('one')
    if (round === 26) await until(async () => (await one.status()).state === 'completed')
    aborts.abort('enough')
    const next = two.result({ signal: AbortSignal.timeout(20) })
    await Promise.allSettled([wait, next])
    await assert.rejects(next, { name: 'TimeoutError' })
  }
  gates.get(2).resolve('two')
  assert.equal(await two.result(), 'two')
  assert.equal(await one.result(), 'one')
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
  assert.deepEqual(handles.map(handle => handle.created), [true, true, true])
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

test('promote starts a delayed task now', async t => {
  const executor = open(t)
  const handle = await executor.enqueue(echo, 'now', { delay: '1h' })
  assert.equal(await handle.promote(), true)
  assert.equal(await handle.result(), 'now')
  assert.equal(await handle.promote(), false)
})

test('reschedule moves the start, in both directions', async t => {
  const executor = open(t)
  const handle = await executor.enqueue(echo, 'now', { delay: '1h' })
  assert.equal(await handle.reschedule(new Date(Date.now() + 7_200_000)), true)
  assert.equal((await handle.status()).state, 'scheduled')
  const soon = Date.now() + 40
  assert.equal(await handle.reschedule(new Date(soon)), true)
  await handle.result()
  assert.ok(Date.now() >= soon)
  assert.equal(await handle.reschedule(new Date()), false)
  for (const wrong of [undefined, null, 5, '2026-01-01', new Date(Number.NaN)]) {
    assert.equal((await rejection((async () => handle.reschedule(wrong))())).code, 'ERR_OPTION')
  }
})

test('setPriority moves it among those that wait', async t => {
  const order = []
  const note = defineTask({ name: 'note', handler: input => void order.push(input) })
  const executor = open(t, { concurrency: 1 })
  await executor.pause()
  const handles = await executor.enqueueMany(note, ['a', 'b', 'c'])
  assert.equal(await handles[2].setPriority(10), true)
  assert.equal(await handles[0].setPriority(-10), true)
  assert.equal((await handles[0].status()).priority, -10)
  await executor.resume()
  await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(order, ['c', 'b', 'a'])
  assert.equal(await handles[0].setPriority(1), false)
  for (const wrong of [undefined, 1.5, '1', 2 ** 31]) {
    assert.equal((await rejection((async () => handles[0].setPriority(wrong))())).code, 'ERR_OPTION')
  }
})

test('expiresAt: not started by then, it fails', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = await occupy(executor)
  const handle = await executor.enqueue(echo, 1, { expiresAt: new Date(Date.now() + 30) })
  const inTime = await executor.enqueue(echo, 2, { expiresAt: new Date(Date.now() + 3_600_000) })
  await sleep(60)
  await gate.release()
  await assert.rejects(handle.result(), failure('ERR_TASK_EXPIRED'))
  assert.equal(await inTime.result(), 2)
  assert.equal((await handle.status()).state, 'failed')
})

test('metadata reaches the handler and the status', async t => {
  const executor = open(t)
  const meta = defineTask({ name: 'meta', handler: (_, ctx) => ctx.metadata })
  const metadata = JSON.parse('{"user":"7","__proto__":"x","constructor":"y","":"","e\\u0301":"\\ud83d\\ude80\\n\\u2028"}')
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

test('retry runs an ended task again, with all its attempts', async t => {
  let broken = true
  const attempts = []
  const task = defineTask({
    name: 'task',
    retry: RetryPolicy.fixed(2, 1),
    handler: (_, ctx) => {
      attempts.push(ctx.attempt)
      if (broken) throw new Error('broken')
      return 'repaired'
    },
  })
  const executor = open(t)
  const handle = await executor.enqueue(task)
  await assert.rejects(handle.result(), /broken/)
  broken = false
  assert.equal(await handle.retry(), true)
  assert.equal(await within(handle.result()), 'repaired')
  assert.deepEqual(attempts, [1, 2, 1])
  assert.equal(await handle.retry(), true)
  assert.equal(await within(handle.result()), 'repaired')
  const cancelled = await executor.enqueue(task, 1, { delay: '1h' })
  assert.equal(await cancelled.retry(), false)
  await cancelled.cancel()
  assert.equal(await cancelled.retry(), true)
  assert.equal(await within(cancelled.result()), 'repaired')
})

test('methods of a handle whose task is no longer kept', async t => {
  const executor = open(t)
  const handle = await executor.enqueue(echo, 'kept by the handle')
  await executor.onIdle()
  assert.equal(await executor.prune({}), 1)
  assert.equal(await executor.get(handle.id), undefined)
  await assert.rejects(handle.status(), failure('ERR_TASK_NOT_FOUND'))
  assert.equal(await handle.result(), 'kept by the handle')
  for (const change of [handle.cancel(), handle.retry(), handle.promote(), handle.setPriority(1)]) {
    assert.equal(await change, false)
  }
})

// Handles: waiting for the outcome of a stored task, and changing what becomes of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, RetryPolicy } from '../index.js'
import { deferred, failure, never, occupy, open, rejection, until, within } from './support/executors.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const numbers = count => Array.from({ length: count }, (_, at) => at)

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
    assert.deepEqual(
      [error.name, error.code, error.message],
      ['TaskError', 'ERR_TASK_FAILED', 'out of range'],
    )
    assert.deepEqual([error.cause.name, error.cause.message], ['RangeError', 'out of range'])
    assert.match(error.cause.stack, /26\.handles/)
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
test('a handle cancels what waits at once, and it is never run', async t => {
  const executor = open(t, { concurrency: 1 })
  const task = defineTask({ name: 'task', handler: () => assert.fail('it was run') })
  const gate = await occupy(executor)
  const waiting = await executor.enqueue(task)
  const delayed = await executor.enqueue(task, 1, { delay: '1h' })
  assert.equal(await waiting.cancel('no longer needed'), true)
  assert.equal(await delayed.cancel(), true)
  const error = await rejection(waiting.result())
  assert.equal(error.code, 'ERR_TASK_CANCELLED')
  assert.match(error.message, /no longer needed/)
  assert.equal(error.taskId, waiting.id)
  await assert.rejects(delayed.result(), failure('ERR_TASK_CANCELLED'))
  assert.equal((await delayed.status()).state, 'cancelled')
  assert.equal(await waiting.cancel(), false)
  await gate.release()
  await executor.onIdle()
})

test('a handle cancels what runs: signal and flag with the reason, no retry, whatever it gives', async t => {
  for (const end of ['resolve', 'reject']) {
    const executor = open(t, { concurrency: 1 })
    const gate = deferred()
    const started = deferred()
    const seen = []
    const task = defineTask({
      name: 'task',
      retry: { attempts: 5, base: 0 },
      handler: (_, ctx) => {
        ctx.signal.addEventListener('abort', () => seen.push(ctx.signal.reason, ctx.cancelled))
        started.resolve()
        return gate.promise
      },
    })
    const handle = await executor.enqueue(task)
    await started.promise
    assert.equal(await handle.cancel('stop it'), true)
    await until(() => seen.length > 0)
    assert.equal(seen[0].code, 'ERR_TASK_CANCELLED')
    assert.match(seen[0].message, /stop it/)
    assert.equal(seen[1], true)
    assert.equal((await handle.status()).state, 'running')
    gate[end]('whatever')
    await assert.rejects(handle.result(), failure('ERR_TASK_CANCELLED'))
    const { state, attempt } = await handle.status()
    assert.deepEqual([state, attempt], ['cancelled', 1])
  }
})

test('a stored task that ignores it is cancelled after cancelGrace, and its slot is free', async t => {
  const executor = open(t, { concurrency: 1, cancelGrace: 40 })
  const started = deferred()
  const hang = defineTask({ name: 'hang', handler: () => [started.resolve(), never()][1] })
  const handle = await executor.enqueue(hang)
  const next = await executor.enqueue(defineTask({ name: 'next', handler: () => 'next' }))
  await started.promise
  const since = performance.now()
  await handle.cancel()
  await assert.rejects(handle.result(), failure('ERR_TASK_CANCELLED'))
  assert.ok(performance.now() - since >= 40)
  assert.equal(await next.result(), 'next')
})

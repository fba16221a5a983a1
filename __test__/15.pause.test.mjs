// `pause`, `resume` and `onIdle`: starting stops, running goes on, and somebody can wait for the end of it all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { deferred, failure, occupy, open, rejection, until } from './support/executors.mjs'

test('a paused executor starts nothing, and goes on where it stopped', async t => {
  const executor = open(t, { concurrency: 1 })
  const order = []
  const note = defineTask({ name: 'note', handler: input => order.push(input) })
  await executor.pause()
  const closures = executor.executeAll([() => order.push('a'), () => order.push('b')])
  const handle = await executor.enqueue(note, 'c')
  await sleep(20)
  assert.deepEqual(order, [])
  assert.equal((await handle.status()).state, 'waiting')
  assert.equal((await handle.status()).waitingFor.reason, 'pause')
  await executor.resume()
  await Promise.all([closures, handle.result()])
  assert.deepEqual(order, ['a', 'b', 'c'])
})

test('what runs goes on, and its result arrives', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = deferred()
  const started = deferred()
  const running = executor.execute(() => [started.resolve(), gate.promise][1])
  let next = 'waits'
  const waiting = executor.execute(() => {
    next = 'started'
  })
  await started.promise
  await executor.pause()
  gate.resolve('done')
  assert.equal(await running, 'done')
  await sleep(10)
  assert.equal(next, 'waits')
  await executor.resume()
  await waiting
})

test('pausing twice is pausing once', async t => {
  const executor = open(t)
  await executor.resume()
  await executor.pause()
  await executor.pause()
  const run = executor.execute(() => 'run')
  await executor.resume()
  assert.equal(await run, 'run')
  await executor.resume()
  assert.equal(await executor.execute(() => 'run'), 'run')
})

test('a pause does not stop clocks: a waiting attempt cannot time out, one that runs can', async t => {
  const executor = open(t, { concurrency: 2 })
  const hung = executor.execute(() => new Promise(() => {}), { timeout: 40 })
  await executor.pause()
  const waits = executor.execute(() => 'in time', { timeout: 20 })
  await assert.rejects(hung, failure('ERR_TASK_TIMEOUT'))
  await executor.resume()
  assert.equal(await waits, 'in time')
})

test('one queue can be paused; the others, and closures, go on', async t => {
  const executor = open(t, { concurrency: 1 })
  const order = []
  const note = defineTask({ name: 'note', handler: input => order.push(input) })
  await executor.pause('mail')
  const mail = await executor.enqueue(note, 'mail', { queue: 'mail', priority: 9 })
  const other = await executor.enqueue(note, 'other', { queue: 'other' })
  await other.result()
  await executor.execute(() => order.push('closure'))
  assert.deepEqual(order, ['other', 'closure'])
  const { state, waitingFor } = await mail.status()
  assert.deepEqual([state, waitingFor.reason], ['waiting', 'pause'])
  await executor.resume('mail')
  await mail.result()
  assert.deepEqual(order, ['other', 'closure', 'mail'])
})

test('the pause of a queue and that of the executor are two things', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: () => 'run' })
  await executor.pause('mail')
  await executor.pause()
  const handle = await executor.enqueue(task, 1, { queue: 'mail' })
  await executor.resume()
  await sleep(20)
  assert.equal((await handle.status()).state, 'waiting')
  await executor.pause()
  await executor.resume('mail')
  await sleep(20)
  assert.equal((await handle.status()).state, 'waiting')
  await executor.resume()
  assert.equal(await handle.result(), 'run')
})

test('the name of a queue obeys the rule', async t => {
  const executor = open(t)
  for (const name of ['', null, 5, 'a\nb']) {
    assert.equal((await rejection(executor.pause(name))).code, 'ERR_OPTION')
    assert.equal((await rejection(executor.resume(name))).code, 'ERR_OPTION')
  }
})

test('onIdle: when nothing waits and nothing runs, at once where that is so', async t => {
  const executor = open(t, { concurrency: 1 })
  await executor.onIdle()
  const gate = await occupy(executor)
  let idle = false
  const wait = executor.onIdle().then(() => {
    idle = true
  })
  const last = executor.execute(() => sleep(20))
  await sleep(20)
  assert.equal(idle, false)
  await gate.release()
  assert.equal(idle, false)
  await last
  await wait
  await Promise.all([executor.onIdle(), executor.onIdle()])
})

test('onIdle waits for stored tasks too: delayed, blocked, retried', async t => {
  const executor = open(t)
  const done = []
  const task = defineTask({
    name: 'task',
    retry: { attempts: 2, base: 20, jitter: 'none' },
    handler: (input, ctx) => {
      if (input === 'retried' && ctx.attempt === 1) throw new Error('once')
      done.push(input)
    },
  })
  const delayed = await executor.enqueue(task, 'delayed', { delay: 30 })
  await executor.enqueue(task, 'blocked', { after: [delayed] })
  await executor.enqueue(task, 'retried')
  await executor.onIdle()
  assert.deepEqual(done.toSorted(), ['blocked', 'delayed', 'retried'])
})

test('onIdle waits for what a task adds', async t => {
  const executor = open(t)
  let done = 0
  const chain = n =>
    executor.execute(() => {
      done += 1
      if (n > 0) chain(n - 1)
    })
  chain(50)
  await executor.onIdle()
  assert.equal(done, 51)
})

test('onIdle of a paused executor with nothing to do resolves, with something it waits', async t => {
  const executor = open(t)
  await executor.pause()
  await executor.onIdle()
  const run = executor.execute(() => {})
  let idle = false
  const wait = executor.onIdle().then(() => {
    idle = true
  })
  await sleep(20)
  assert.equal(idle, false)
  await executor.resume()
  await run
  await wait
})

test('a burst of pauses and resumes loses nothing', async t => {
  const executor = open(t, { concurrency: 4 })
  let done = 0
  const count = defineTask({ name: 'count', handler: () => ++done })
  const handles = await executor.enqueueMany(
    count,
    Array.from({ length: 500 }, (_, n) => n),
  )
  const closures = Array.from({ length: 500 }, () => executor.execute(() => ++done))
  for (let round = 0; round < 40; round += 1) {
    const queue = round % 3 === 0 ? 'default' : undefined
    await executor.pause(queue)
    await executor.resume(queue)
  }
  await Promise.all([...closures, ...handles.map(handle => handle.result())])
  await until(() => done === 1_000)
})

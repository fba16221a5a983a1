// `key`: at most one unfinished task of a queue has it. `debounce` and `throttle` build on that.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { collect, deferred, failure, occupy, until, within } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const key = 'user-7'

async function start(on, options = undefined) {
  const executor = on(options)
  await executor.start()
  return executor
}

const count = async executor => (await collect(executor.list())).length

onEveryStore('ignore, the default: whoever comes second gets the task that is there', async (_t, on) => {
  const executor = await start(on, { concurrency: 1 })
  const gate = await occupy(executor)
  const first = await executor.enqueue(echo, 1, { key })
  const second = await executor.enqueue(echo, 2, { key })
  const third = await executor.enqueue(echo, 3, { key, onConflict: 'ignore' })
  assert.deepEqual([first.created, second.created, third.created], [true, false, false])
  assert.equal(second.id, first.id)
  await gate.release()
  assert.deepEqual(await Promise.all([first.result(), second.result(), third.result()]), [1, 1, 1])
})

onEveryStore('a key is free again when its task has ended, however it did', async (_t, on) => {
  const executor = await start(on)
  const fails = defineTask({ name: 'fails', handler: () => Promise.reject(new Error('no')) })
  const completed = await executor.enqueue(echo, 1, { key })
  await completed.result()
  const failed = await executor.enqueue(fails, 2, { key })
  assert.equal(failed.created, true)
  await assert.rejects(failed.result(), /no/)
  const cancelled = await executor.enqueue(echo, 3, { key, delay: '1h' })
  assert.equal(cancelled.created, true)
  await cancelled.cancel()
  assert.equal((await executor.enqueue(echo, 4, { key })).created, true)
})

onEveryStore('a key belongs to its queue, and to all kinds in it', async (_t, on) => {
  const executor = await start(on)
  await executor.pause()
  const other = defineTask({ name: 'other', handler: () => 'other' })
  const handles = await Promise.all([
    executor.enqueue(echo, 1, { key }),
    executor.enqueue(echo, 1, { key, queue: 'mail' }),
    executor.enqueue(echo, 1, { key: 'user-8' }),
    executor.enqueue(other, 1, { key }),
  ])
  assert.deepEqual(
    handles.map(handle => handle.created),
    [true, true, true, false],
  )
  assert.equal(handles[3].id, handles[0].id)
})

onEveryStore('error: whoever comes second is refused, and leaves nothing behind', async (_t, on) => {
  const executor = await start(on)
  await executor.pause()
  const first = await executor.enqueue(echo, 1, { key })
  await assert.rejects(executor.enqueue(echo, 2, { key, onConflict: 'error' }), failure('ERR_TASK_DUPLICATE'))
  assert.equal(await count(executor), 1)
  await executor.resume()
  await first.result()
  assert.equal((await executor.enqueue(echo, 2, { key, onConflict: 'error' })).created, true)
})

onEveryStore('replace: the newest takes the place of one that waits', async (_t, on) => {
  const executor = await start(on)
  await executor.pause()
  const old = await executor.enqueue(echo, 'old', { key })
  const young = await executor.enqueue(echo, 'young', { key, onConflict: 'replace' })
  assert.equal(young.created, true)
  await executor.resume()
  assert.equal(await young.result(), 'young')
  await assert.rejects(old.result(), failure('ERR_TASK_CANCELLED'))
  assert.equal((await old.status()).state, 'cancelled')
})

onEveryStore('replace waits for one that runs, which keeps its success but gets no retry', async (_t, on) => {
  const executor = await start(on, { concurrency: 4 })
  const gates = { good: deferred(), bad: deferred() }
  const order = []
  const task = defineTask({
    name: 'task',
    retry: { attempts: 5, base: 0 },
    handler: async input => {
      order.push(`${input} starts`)
      await gates[input]?.promise
      order.push(`${input} ends`)
      return input
    },
  })
  for (const which of ['good', 'bad']) {
    order.length = 0
    const old = await executor.enqueue(task, which, { key })
    await until(() => order.length === 1)
    const young = await executor.enqueue(task, 'young', { key, onConflict: 'replace' })
    assert.equal(young.created, true)
    await sleep(20)
    assert.deepEqual(order, [`${which} starts`])
    if (which === 'good') gates.good.resolve()
    else gates.bad.reject(new Error('bad'))
    await young.result()
    if (which === 'good') assert.equal(await old.result(), 'good')
    else await assert.rejects(old.result(), failure('ERR_TASK_CANCELLED'))
    assert.deepEqual(order.filter(line => line.startsWith(which)).length, which === 'good' ? 2 : 1)
    assert.deepEqual(order.slice(-2), ['young starts', 'young ends'])
  }
})

onEveryStore('many at once with one key: one task', async (_t, on) => {
  const executor = await start(on, { concurrency: 1 })
  const gate = await occupy(executor)
  const handles = await Promise.all(Array.from({ length: 200 }, (_, n) => executor.enqueue(echo, n, { key })))
  assert.equal(handles.filter(handle => handle.created).length, 1)
  assert.equal(new Set(handles.map(handle => handle.id)).size, 1)
  await gate.release()
  assert.deepEqual(new Set(await Promise.all(handles.map(handle => handle.result()))), new Set([0]))
})

onEveryStore('at no moment do two tasks of one key run, under a storm of replacements', async (_t, on) => {
  const executor = await start(on, { concurrency: 8 })
  let [running, most, runs] = [0, 0, 0]
  const task = defineTask({
    name: 'task',
    handler: async () => {
      runs += 1
      running += 1
      most = Math.max(most, running)
      await sleep(1)
      running -= 1
    },
  })
  for (let n = 0; n < 100; n += 1) {
    const handle = await executor.enqueue(task, n, { key, onConflict: n % 2 ? 'replace' : 'ignore' })
    if (n % 10 === 0) await handle.result().catch(() => {})
  }
  await within(executor.onIdle())
  assert.equal(most, 1)
  assert.ok(runs >= 10)
})

onEveryStore('debounce: the newest input wins, and the start waits for quiet', async (_t, on) => {
  const executor = await start(on)
  const starts = []
  const note = defineTask({ name: 'note', handler: input => void starts.push([input, performance.now()]) })
  let last
  let handle
  for (const input of ['a', 'b', 'c']) {
    last = performance.now()
    handle = await executor.enqueue(note, input, { key, debounce: 80 })
    await sleep(10)
  }
  assert.equal(handle.created, false)
  await handle.result()
  assert.equal(starts.length, 1)
  assert.equal(starts[0][0], 'c')
  // The clocks of the store and of this test count in different ways.
  assert.ok(starts[0][1] - last >= 78, `${starts[0][1] - last}`)
  assert.equal((await handle.status()).input, 'c')
  const next = await executor.enqueue(note, 'd', { key, debounce: 10 })
  assert.equal(next.created, true)
  await next.result()
})

onEveryStore('debounce: maxWait bounds it, ten times the wait where nothing is said', async (_t, on) => {
  const executor = await start(on)
  const starts = []
  const note = defineTask({ name: 'note', handler: input => void starts.push(input) })
  // Where this process stands still for as long as the quiet time, the task starts by that, and it is tried again.
  const isBound = async (wait, debounce) => {
    starts.length = 0
    const since = performance.now()
    let [calls, latest, longest] = [0, since, 0]
    while (starts.length === 0) {
      await executor.enqueue(note, ++calls, { key, debounce })
      await sleep(5)
      const now = performance.now()
      longest = Math.max(longest, now - latest)
      latest = now
      assert.ok(now - since < 20_000, 'it never starts')
    }
    await executor.onIdle()
    return latest - since >= 240 || longest < wait / 2 ? latest - since : undefined
  }
  for (const [wait, debounce] of [
    [200, { wait: 200, maxWait: 250 }],
    [30, 30],
  ]) {
    let took = await isBound(wait, debounce)
    while (took === undefined) took = await isBound(wait, debounce)
    assert.ok(took >= 240)
  }
})

onEveryStore(
  'throttle: the first wins, what comes in its time gives that task, ended or not',
  async (_t, on) => {
    const executor = await start(on)
    const since = performance.now()
    const first = await executor.enqueue(echo, 1, { key, throttle: 150 })
    assert.equal(await first.result(), 1)
    const second = await executor.enqueue(echo, 2, { key, throttle: 150 })
    assert.deepEqual([second.id, second.created], [first.id, false])
    assert.equal(await second.result(), 1)
    const third = await until(async () => {
      const handle = await executor.enqueue(echo, 3, { key, throttle: 150 })
      return handle.created && handle
    })
    assert.ok(performance.now() - since >= 148)
    assert.equal(await third.result(), 3)
  },
)

onEveryStore('a task that runs is cancelled for the reason that was given', async (_t, on) => {
  const executor = await start(on)
  const began = deferred()
  const handler = (_, { signal }) => {
    began.resolve()
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const handle = await executor.enqueue(defineTask({ name: 'long', handler }))
  await began.promise
  const outcome = handle.result().catch(error => error)
  await handle.cancel('the user has left')
  const error = await within(outcome)
  assert.equal(error.code, 'ERR_TASK_CANCELLED')
  assert.match(error.message, /the user has left/)
  assert.equal((await handle.status()).reason, 'the user has left')
  // Whoever asks later, and elsewhere, is told the same.
  const again = await executor.enqueue('long', null, { id: handle.id })
  assert.deepEqual(
    [again.created, await again.result().catch(({ message }) => message)],
    [false, error.message],
  )
})

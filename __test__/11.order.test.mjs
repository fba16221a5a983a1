// How many run at once, and who is next: `concurrency`, first come first served, larger priorities first.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextLoop } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { collect, deferred, occupy, open } from './support/executors.mjs'

const numbers = count => Array.from({ length: count }, (_, at) => at)

test('concurrency is reached and never passed', async t => {
  for (const concurrency of [1, 2, 7]) {
    const executor = open(t, { concurrency })
    let [running, most] = [0, 0]
    const work = async () => {
      running += 1
      most = Math.max(most, running)
      await nextLoop()
      running -= 1
    }
    await executor.executeAll(numbers(100).map(() => work))
    assert.equal(most, concurrency)
  }
})

test('stored tasks and closures share the same slots', async t => {
  let [running, most, done] = [0, 0, 0]
  const work = async () => {
    running += 1
    most = Math.max(most, running)
    await nextLoop()
    running -= 1
    done += 1
  }
  const task = defineTask({ name: 'work', handler: work })
  const executor = open(t, { concurrency: 3 })
  const handles = await executor.enqueueMany(task, numbers(50))
  await executor.executeAll(numbers(50).map(() => work))
  await Promise.all(handles.map(handle => handle.result()))
  assert.equal(most, 3)
  assert.equal(done, 100)
})

test('they start in the order of the calls', async t => {
  const executor = open(t, { concurrency: 1 })
  const order = []
  await executor.executeAll(numbers(300).map(n => () => order.push(n)))
  assert.deepEqual(order, numbers(300))
})

test('stored tasks start in the order of the calls too', async t => {
  const order = []
  const task = defineTask({ name: 'note', handler: input => order.push(input) })
  const executor = open(t, { concurrency: 1 })
  const single = numbers(20).map(n => executor.enqueue(task, n))
  const many = executor.enqueueMany(task, [20, 21, 22])
  const rest = numbers(20).map(n => executor.enqueue(task, 23 + n))
  const handles = (await Promise.all([...single, many, ...rest])).flat()
  await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(order, numbers(43))
})

test('larger priorities first, ties in the order of the calls, down to the ends of the range', async t => {
  const executor = open(t, { concurrency: 1 })
  const priorities = [0, -5, 5, 2 ** 31 - 1, -(2 ** 31), 5, 0, 1, -1, -(2 ** 31), 2 ** 31 - 1, undefined]
  const wanted = priorities
    .map((priority, at) => ({ at, priority: priority ?? 0 }))
    .sort((one, other) => other.priority - one.priority || one.at - other.at)
    .map(({ at }) => at)
  const order = []
  const gate = await occupy(executor)
  const all = priorities.map((priority, at) => executor.execute(() => order.push(at), { priority }))
  await gate.release()
  await Promise.all(all)
  assert.deepEqual(order, wanted)

  order.length = 0
  const task = defineTask({ name: 'note', handler: at => order.push(at) })
  await executor.pause()
  const handles = await Promise.all(
    priorities.map((priority, at) => executor.enqueue(task, at, { priority })),
  )
  await executor.resume()
  await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(order, wanted)
})

test('a thousand priorities are served in their order', async t => {
  const executor = open(t, { concurrency: 1 })
  const order = []
  const gate = await occupy(executor)
  // A full cycle of a linear congruence: every number of the range once, in no order.
  const all = numbers(1_024).map(n => {
    const priority = (n * 613 + 7) % 1_024
    return executor.execute(() => order.push(priority), { priority })
  })
  await gate.release()
  await Promise.all(all)
  assert.deepEqual(order, numbers(1_024).toReversed())
})

test('a retry goes to the back of its priority', async t => {
  const executor = open(t, { concurrency: 1 })
  const order = []
  const gate = await occupy(executor)
  const flaky = ctx => {
    order.push(`flaky ${ctx.attempt}`)
    if (ctx.attempt === 1) throw new Error('once')
  }
  const all = [
    executor.execute(flaky, { priority: 1, retry: { attempts: 2, base: 0 } }),
    executor.execute(() => order.push('same'), { priority: 1 }),
    executor.execute(() => order.push('lower')),
  ]
  await gate.release()
  await Promise.all(all)
  assert.deepEqual(order, ['flaky 1', 'same', 'flaky 2', 'lower'])
})

test('five thousand that may all start at once do', async t => {
  const executor = open(t, { concurrency: 5_000 })
  const gate = deferred()
  let started = 0
  const all = executor.executeAll(
    numbers(5_000).map(n => async () => {
      started += 1
      if (started === 5_000) gate.resolve()
      await gate.promise
      return n
    }),
  )
  assert.deepEqual(await all, numbers(5_000))
})

test('five thousand that become ready at the same moment all start', async t => {
  const executor = open(t, { concurrency: 5_000 })
  await executor.pause()
  let started = 0
  const all = executor.executeAll(numbers(5_000).map(() => () => ++started))
  await nextLoop()
  assert.equal(started, 0)
  await executor.resume()
  await all
  assert.equal(started, 5_000)
})

test('ten thousand calls in one go, with all that a call can carry', async t => {
  const executor = open(t, { concurrency: 3 })
  const { signal } = new AbortController()
  const given = [
    undefined,
    { priority: 1 },
    { timeout: '2h', priority: -1 },
    { timeout: '1h', retry: { attempts: 2 }, priority: 7, signal },
  ]
  const results = await Promise.all(
    numbers(10_000).map(n => executor.execute(async () => n, given[n % given.length])),
  )
  assert.deepEqual(results, numbers(10_000))
})

test('ten thousand stored tasks in one go', async t => {
  const task = defineTask({ name: 'double', handler: n => n * 2 })
  const executor = open(t, { concurrency: 100 })
  const handles = await Promise.all(numbers(10_000).map(n => executor.enqueue(task, n)))
  assert.equal(new Set(handles.map(handle => handle.id)).size, 10_000)
  const results = await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(
    results,
    numbers(10_000).map(n => n * 2),
  )
})

test('thousands of tasks let the rest of the program have its turn', async t => {
  const executor = open(t, { concurrency: 16 })
  let [turns, over] = [0, false]
  const others = (async () => {
    while (!over) {
      await nextLoop()
      turns += 1
    }
  })()
  await executor.executeAll(numbers(50_000).map(() => () => {}))
  over = true
  await others
  assert.ok(turns > 1, `${turns} turns of the loop`)
})

test('an execute inside a task waits for a slot like any other', async t => {
  const executor = open(t, { concurrency: 1 })
  const order = []
  let inner
  await executor.execute(async () => {
    order.push('outer begins')
    inner = executor.execute(() => order.push('inner'))
    await nextLoop()
    order.push('outer ends')
  })
  await inner
  assert.deepEqual(order, ['outer begins', 'outer ends', 'inner'])

  const wide = open(t, { concurrency: 2 })
  const depth = n => (n === 0 ? 0 : wide.execute(() => n).then(value => value))
  assert.equal(await wide.execute(() => depth(5)), 5)
  assert.deepEqual(await wide.executeAll(numbers(10).map(n => () => n)), numbers(10))
})

test('tasks enqueued by a handler are run', async t => {
  const seen = []
  const executor = open(t, { concurrency: 2 })
  const countdown = defineTask({
    name: 'countdown',
    handler: async n => {
      seen.push(n)
      if (n > 0) await executor.enqueue(countdown, n - 1)
    },
  })
  await executor.enqueue(countdown, 20)
  await executor.onIdle()
  assert.deepEqual(seen, numbers(21).toReversed())
  assert.equal((await collect(executor.list())).length, 21)
})

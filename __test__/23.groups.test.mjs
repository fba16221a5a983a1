// Limits over all executors of a store (`total`), for each value of `group` (`perGroup`), and the turns that groups take.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '../index.js'
import { deferred, open, until } from './support/executors.mjs'

const numbers = count => Array.from({ length: count }, (_, at) => at)

/** A kind that notes how many of it ran at once, in all and for each group. */
function watched(concurrency) {
  const [running, most] = [new Map(), new Map()]
  const count = (name, by) => {
    running.set(name, (running.get(name) ?? 0) + by)
    most.set(name, Math.max(most.get(name) ?? 0, running.get(name)))
  }
  const task = defineTask({
    name: 'watched',
    concurrency,
    handler: async group => {
      for (const name of ['all', group]) count(name, 1)
      await sleep(1)
      for (const name of ['all', group]) count(name, -1)
    },
  })
  return { task, most }
}

test('total bounds a kind over everything', async t => {
  const { task, most } = watched({ total: 3 })
  const executor = open(t, { concurrency: 10 })
  const handles = await executor.enqueueMany(
    task,
    numbers(60).map(() => 'g'),
  )
  await Promise.all(handles.map(handle => handle.result()))
  assert.equal(most.get('all'), 3)
})

test('perGroup bounds each group, and groups run beside each other', async t => {
  const { task, most } = watched({ perGroup: 2 })
  const executor = open(t, { concurrency: 10 })
  const groups = ['a', 'b', 'c']
  const calls = numbers(90).map(n => executor.enqueue(task, groups[n % 3], { group: groups[n % 3] }))
  await Promise.all((await Promise.all(calls)).map(handle => handle.result()))
  for (const group of groups) assert.equal(most.get(group), 2)
  assert.ok(most.get('all') > 2 && most.get('all') <= 6, `${most.get('all')} at once`)
})

test('perNode, total and perGroup hold together', async t => {
  const { task, most } = watched({ perNode: 4, total: 3, perGroup: 2 })
  const executor = open(t, { concurrency: 10 })
  const calls = numbers(60).map(n => executor.enqueue(task, `g${n % 5}`, { group: `g${n % 5}` }))
  await Promise.all((await Promise.all(calls)).map(handle => handle.result()))
  assert.equal(most.get('all'), 3)
  assert.ok(numbers(5).every(n => most.get(`g${n}`) <= 2))
})

test('a task without a group is bounded by no perGroup', async t => {
  const executor = open(t, { concurrency: 6 })
  const gate = deferred()
  let running = 0
  const task = defineTask({
    name: 'task',
    concurrency: { perGroup: 1 },
    handler: () => {
      running += 1
      return gate.promise
    },
  })
  const handles = await executor.enqueueMany(task, numbers(6))
  await until(() => running === 6)
  gate.resolve()
  await Promise.all(handles.map(handle => handle.result()))
})

test('groups of equal priority take turns: a crowd does not delay one that comes alone', async t => {
  const order = []
  const task = defineTask({ name: 'task', handler: input => void order.push(input) })
  const executor = open(t, { concurrency: 1 })
  await executor.pause()
  const crowd = await executor.enqueueMany(task, numbers(2_000), { group: 'crowd' })
  const alone = await executor.enqueue(task, 'alone', { group: 'alone' })
  const second = await executor.enqueue(task, 'second', { group: 'alone' })
  await executor.resume()
  await Promise.all([alone.result(), second.result(), crowd[0].result()])
  assert.ok(order.indexOf('alone') <= 2, `alone came ${order.indexOf('alone')}`)
  assert.ok(order.indexOf('second') <= 4, `second came ${order.indexOf('second')}`)
  await Promise.all(crowd.map(handle => handle.result()))
  assert.deepEqual(
    order.filter(input => typeof input === 'number'),
    numbers(2_000),
  )
})

test('a larger priority comes first, whatever the group', async t => {
  const order = []
  const task = defineTask({ name: 'task', handler: input => void order.push(input) })
  const executor = open(t, { concurrency: 1 })
  await executor.pause()
  const handles = await Promise.all([
    executor.enqueue(task, 'a1', { group: 'a' }),
    executor.enqueue(task, 'b1', { group: 'b' }),
    executor.enqueue(task, 'a2', { group: 'a', priority: 1 }),
    executor.enqueue(task, 'a3', { group: 'a', priority: 1 }),
  ])
  await executor.resume()
  await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual([...order.slice(0, 2), ...order.slice(2).toSorted()], ['a2', 'a3', 'a1', 'b1'])
})

test('a kind behind its limit does not delay another kind', async t => {
  const executor = open(t, { concurrency: 4 })
  const gate = deferred()
  const narrow = defineTask({ name: 'narrow', concurrency: { total: 1 }, handler: () => gate.promise })
  const free = defineTask({ name: 'free', handler: input => input })
  const stuck = await executor.enqueueMany(narrow, numbers(3_000))
  const handles = await executor.enqueueMany(free, numbers(200))
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), numbers(200))
  gate.resolve('done')
  assert.equal(await stuck[2_999].result(), 'done')
})

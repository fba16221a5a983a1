// Waiting for many tasks costs as many native calls as waiting for one: counted by functions around those of the addon.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { collect, deferred, open } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

const binding = createRequire(import.meta.url)('../lib/binding.js')
const numbers = count => Array.from({ length: count }, (_, at) => at)

/** Counts the calls of every native function of the executors that are made from now on, by name. */
function countCalls(t) {
  const { open: native } = binding
  const calls = {}
  binding.open = (...args) => {
    const functions = native(...args)
    for (const [name, call] of Object.entries(functions)) {
      functions[name] = (...args) => {
        calls[name] = (calls[name] ?? 0) + 1
        return call(...args)
      }
    }
    return functions
  }
  t.after(() => {
    binding.open = native
  })
  return calls
}

onEveryStore('a thousand results are asked for in one call', async (t, on) => {
  const calls = countCalls(t)
  const gate = deferred()
  const echo = defineTask({
    name: 'echo',
    async handler(input) {
      await gate.promise
      return input
    },
  })
  const executor = on({ tasks: [echo], concurrency: 100 })
  await executor.start()
  const handles = await executor.enqueueMany(echo, numbers(1_000))
  assert.equal(calls.enqueue, 1)
  const before = { ...calls }
  const results = Promise.all(handles.map(handle => handle.result()))
  const { signal } = new AbortController()
  const others = Promise.all(handles.map(handle => handle.result({ signal })))
  await undefined
  // That turn has asked.
  assert.equal(calls.watch - (before.watch ?? 0), 1)
  assert.equal(calls.request, before.request, 'nothing else asks')
  gate.resolve()
  assert.deepEqual(await results, numbers(1_000))
  assert.deepEqual(await others, numbers(1_000))
  assert.equal(calls.watch - (before.watch ?? 0), 1, 'once is enough')
  const again = { ...calls }
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), numbers(1_000))
  assert.equal(calls.watch - again.watch, 1, 'what has ended is not asked for one by one either')
  assert.ok(calls.mail - again.mail <= 20, `${calls.mail - again.mail} mails brought a thousand outcomes`)
})

test('so are the results of a flow', async t => {
  const calls = countCalls(t)
  const add = defineTask({ name: 'add', handler: n => n })
  const executor = open(t, { tasks: [add] })
  const tasks = numbers(500).map(n => ({ ref: `n${n}`, task: add, input: n, after: n > 0 ? ['n0'] : [] }))
  const flow = await executor.enqueueFlow(tasks)
  assert.equal(calls.enqueue, 1)
  const results = flow.results()
  await undefined
  assert.equal(calls.watch, 1)
  assert.equal(Object.keys(await results).length, 500)
  assert.equal(calls.watch, 1)
  assert.equal((await collect(executor.list({ flow: flow.id }))).length, 500)
})
